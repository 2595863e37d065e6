/* Attaching and detaching, and the faults that any call can meet. */
#define _GNU_SOURCE
#include "session.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HANG_RECHECK (SECOND / 50)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    long users, generation;
    pid_t process;
    char marker[4096];
} session;
static char devices[MAX_GPUS];

void *device_handle(int gpu) { return &devices[gpu]; }

int device_index(const void *device)
{
    uintptr_t offset = (uintptr_t)device - (uintptr_t)devices;
    return offset < MAX_GPUS ? (int)offset : NO_GPU;
}

void sleep_ns(ns_t span)
{
    struct timespec left = {span / SECOND, span % SECOND};
    while (nanosleep(&left, &left) != 0)
        ;
}

static pthread_once_t wall_once = PTHREAD_ONCE_INIT;
static ns_t wall_offset;

static void find_wall_clock(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    wall_offset = wall.tv_sec * SECOND + wall.tv_nsec - monotonic_ns();
}

int64_t wall_clock_us(ns_t monotonic)
{
    pthread_once(&wall_once, find_wall_clock);
    return (monotonic + wall_offset) / 1000;
}

/* ---- the state of the driver */

static long driver_generation(const struct machine *machine, ns_t now, bool *gone, bool *mismatch)
{
    long generation = 0;
    *gone = *mismatch = false;
    for (size_t i = 0; i < machine->lookups && machine->lookup[i]->at <= now; i++) {
        const struct event *event = machine->lookup[i];
        if (event->key == K_VERSION_MISMATCH)
            *mismatch = event->integers[0];
        if (event->key == K_DRIVER) {
            generation += !*gone && event->integers[0] == 0;
            *gone = event->integers[0] == 0;
        }
    }
    return generation;
}

int session_rc(const struct machine *machine, ns_t now)
{
    bool gone, mismatch;
    long generation = driver_generation(machine, now, &gone, &mismatch);
    pthread_mutex_lock(&lock);
    bool attached = session.users > 0;
    bool stale = session.generation != generation;
    pthread_mutex_unlock(&lock);
    if (!attached)
        return UNINITIALIZED;
    if (gone)
        return DRIVER_NOT_LOADED;
    if (mismatch)
        return VERSION_MISMATCH;
    return stale ? UNINITIALIZED : OK;
}

/* ---- injected faults */

static bool fault_hits(const struct event *event, const char *function, int gpu)
{
    if (event->gpu != EVERY_GPU && event->gpu != gpu)
        return false;
    return !strcmp(event->function, "*") || !strcmp(event->function, function);
}

/* The last word that the tape has, at this time, on one kind of fault in a function. */
static const struct event *fault(const struct call *call, const char *function, enum key key)
{
    const struct event *last = NULL;
    for (size_t i = 0; i < call->machine->lookups; i++) {
        const struct event *event = call->machine->lookup[i];
        if (event->at > call->now)
            break;
        if (event->key < K_HANG || event->key > K_DENIED || !fault_hits(event, function, call->gpu))
            continue;
        if (event->key == key || (key == K_ERROR && event->key == K_DENIED))
            last = event;
    }
    return last;
}

static int injected_rc(const struct call *call, const char *function)
{
    const struct event *event = fault(call, function, K_ERROR);
    if (!event)
        return OK;
    return event->key == K_DENIED ? NO_PERMISSION : (int)event->integers[1];
}

static bool renew(struct call *call)
{
    call_end(call);
    call->machine = machine_acquire();
    call->config = call->machine ? &call->machine->config : NULL;
    call->now = monotonic_ns();
    return call->machine != NULL;
}

/* Blocks while the tape says so; no lock is held meanwhile. */
static bool suffer_delays(struct call *call, const char *function)
{
    const struct event *event;
    while ((event = fault(call, function, K_HANG))) {
        ns_t left = event->at + (ns_t)(event->number * (double)SECOND) - call->now;
        if (left <= 0)
            break;
        sleep_ns(left < HANG_RECHECK ? left : HANG_RECHECK);
        if (!renew(call))
            return false;
    }
    event = fault(call, function, K_SLOW);
    if (event && event->number > 0) {
        call->slept = (ns_t)(event->number * 1e3);
        sleep_ns(call->slept);
        return renew(call);
    }
    return true;
}

/* ---- calls */

static int call_open(struct call *call, const char *function, int gpu)
{
    call->gpu = gpu;
    if (!renew(call) || !suffer_delays(call, function))
        return DRIVER_NOT_LOADED;
    return OK;
}

static bool attached(void)
{
    pthread_mutex_lock(&lock);
    bool yes = session.users > 0;
    pthread_mutex_unlock(&lock);
    return yes;
}

static int call_check(struct call *call, const char *function)
{
    int rc = session_rc(call->machine, call->now);
    if (rc == OK)
        rc = injected_rc(call, function);
    if (rc != OK || call->gpu == NO_GPU)
        return rc;
    if (call->gpu >= call->config->gpus)
        return INVALID_ARGUMENT;
    const struct inputs *in = &segment_at(call->machine, call->gpu, call->now)->inputs;
    if (in->lost)
        return GPU_IS_LOST;
    return in->reset_required ? RESET_REQUIRED : OK;
}

int call_begin(struct call *call, const char *function, int gpu)
{
    if (!attached())
        return UNINITIALIZED;
    int rc = call_open(call, function, gpu);
    return rc != OK ? rc : call_check(call, function);
}

int call_begin_on(struct call *call, const char *function, const void *device)
{
    int gpu = device_index(device);
    if (gpu == NO_GPU)
        return attached() ? INVALID_ARGUMENT : UNINITIALIZED;
    return call_begin(call, function, gpu);
}

void call_end(struct call *call)
{
    if (call->machine)
        machine_release(call->machine);
    call->machine = NULL;
}

int copy_text(char *out, uint32_t size, const char *text)
{
    REQUIRE(out);
    if (strlen(text) >= size)
        return INSUFFICIENT_SIZE;
    memset(out, 0, size);
    memcpy(out, text, strlen(text));
    return OK;
}

/* ---- attaching */

static void mark_attached(void)
{
    const char *tape = getenv("RACKWATT_FAKE_NVML");
    session.process = getpid();
    snprintf(session.marker, sizeof session.marker, "%s.attached.%ld", tape, (long)getpid());
    int fd = open(session.marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
}

static int initialise(const char *function, unsigned flags)
{
    struct call call __attribute__((cleanup(call_end))) = {.machine = 0};
    bool gone, mismatch;
    int rc = call_open(&call, function, NO_GPU);
    if (rc != OK)
        return rc;
    long generation = driver_generation(call.machine, call.now, &gone, &mismatch);
    if (gone || mismatch)
        return gone ? DRIVER_NOT_LOADED : VERSION_MISMATCH;
    if ((rc = injected_rc(&call, function)) != OK)
        return rc;
    if (call.config->gpus == 0 && !(flags & INIT_FLAG_NO_GPUS))
        return GPU_NOT_FOUND;
    pthread_mutex_lock(&lock);
    if (session.users++ == 0)
        mark_attached();
    session.generation = generation;
    pthread_mutex_unlock(&lock);
    return OK;
}

API int nvmlInit(void) { return initialise(__func__, 0); }
API int nvmlInit_v2(void) { return initialise(__func__, 0); }
API int nvmlInitWithFlags(unsigned flags) { return initialise(__func__, flags); }

/* Detaches even from a driver that has gone, as a caller must be able to start over. */
API int nvmlShutdown(void)
{
    struct call call __attribute__((cleanup(call_end))) = {.machine = 0};
    if (!attached())
        return UNINITIALIZED;
    int rc = call_open(&call, __func__, NO_GPU);
    if (rc == OK && (rc = injected_rc(&call, __func__)) != OK)
        return rc;
    pthread_mutex_lock(&lock);
    bool last = session.users > 0 && --session.users == 0;
    if (last && session.process == getpid())
        unlink(session.marker);
    pthread_mutex_unlock(&lock);
    if (last)
        event_sets_clear();
    return OK;
}
