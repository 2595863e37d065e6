/* Event sets: each Xid of the tape reaches each set that was registered before it, once. */
#include "session.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define MAX_SETS 64
#define LOOK_NS SECOND /* an event may lie ahead on the tape: look again after this long */

struct event_set {
    bool used;
    int watch; /* of the tape, from the first wait on: made once, as a driver's descriptors are; 0 is none */
    struct { uint64_t types; ns_t since; } registered[MAX_GPUS];
    uint8_t *delivered; /* a bit for each (line of the tape, GPU) */
    size_t delivered_bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct event_set sets[MAX_SETS];

/* The descriptor that tells when the tape grows; -1 where there can be none. */
static int watch_of(struct event_set *set)
{
    const char *path = getenv("RACKWATT_FAKE_NVML");
    if (set->watch || !path)
        return set->watch ? set->watch : -1;
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY | IN_CLOSE_WRITE) < 0) {
        close(watch);
        return -1;
    }
    return set->watch = watch;
}

/* Blocks as a real driver does: until the tape grows or the time is over, without a wake-up between. */
static void wait_for_tape(int watch, ns_t most)
{
    char told[4096];
    if (watch < 0)
        sleep_ns(most < SECOND / 10 ? most : SECOND / 10);
    else if (poll(&(struct pollfd){.fd = watch, .events = POLLIN}, 1, (int)(most / (SECOND / 1000)) + 1) > 0)
        while (read(watch, told, sizeof told) > 0)
            ; /* that it grew is all there is to know */
}

static struct event_set *set_of(void *handle)
{
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)sets;
    bool ours = offset < sizeof sets && offset % sizeof *sets == 0;
    return ours && ((struct event_set *)handle)->used ? handle : NULL;
}

static void clear(struct event_set *set)
{
    free(set->delivered);
    if (set->watch)
        close(set->watch);
    memset(set, 0, sizeof *set);
}

void event_sets_clear(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_SETS; i++)
        clear(&sets[i]);
    pthread_mutex_unlock(&lock);
}

API int nvmlEventSetCreate(void **set)
{
    SYSTEM_CALL();
    REQUIRE(set);
    *set = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_SETS && !*set; i++)
        if (!sets[i].used) {
            sets[i].used = true;
            *set = &sets[i];
        }
    pthread_mutex_unlock(&lock);
    return *set ? OK : OUT_OF_MEMORY;
}

API int nvmlEventSetFree(void *handle)
{
    SYSTEM_CALL();
    pthread_mutex_lock(&lock);
    struct event_set *set = set_of(handle);
    if (set)
        clear(set);
    pthread_mutex_unlock(&lock);
    return set ? OK : INVALID_ARGUMENT;
}

API int nvmlDeviceGetSupportedEventTypes(void *device, uint64_t *types)
{
    GPU_CALL(device);
    REQUIRE(types);
    *types = EVENT_XID;
    return OK;
}

API int nvmlDeviceRegisterEvents(void *device, uint64_t types, void *handle)
{
    GPU_CALL(device);
    if (types & ~EVENT_XID)
        return NOT_SUPPORTED;
    pthread_mutex_lock(&lock);
    struct event_set *set = set_of(handle);
    if (set && !set->registered[call.gpu].types)
        set->registered[call.gpu].since = call.now;
    if (set)
        set->registered[call.gpu].types |= types;
    pthread_mutex_unlock(&lock);
    return set ? OK : INVALID_ARGUMENT;
}

/* Marks one event as delivered; false when it already was. */
static bool claim(struct event_set *set, size_t bit)
{
    size_t wanted = bit / 8 + 1;
    if (wanted > set->delivered_bytes) {
        uint8_t *grown = realloc(set->delivered, 2 * wanted);
        if (!grown)
            return false;
        memset(grown + set->delivered_bytes, 0, 2 * wanted - set->delivered_bytes);
        set->delivered = grown;
        set->delivered_bytes = 2 * wanted;
    }
    bool fresh = !(set->delivered[bit / 8] & 1u << bit % 8);
    set->delivered[bit / 8] |= (uint8_t)(1u << bit % 8);
    return fresh;
}

static int claiming_gpu(struct event_set *set, const struct machine *machine,
                        const struct event *event)
{
    for (int gpu = 0; gpu < machine->config.gpus; gpu++) {
        if (event->gpu != EVERY_GPU && event->gpu != gpu)
            continue;
        if (!(set->registered[gpu].types & EVENT_XID) || event->at < set->registered[gpu].since)
            continue;
        if (claim(set, (size_t)event->line * MAX_GPUS + (size_t)gpu))
            return gpu;
    }
    return NO_GPU;
}

static bool next_event(struct event_set *set, const struct call *call, struct event_data *data)
{
    for (size_t i = 0; i < call->machine->lookups; i++) {
        const struct event *event = call->machine->lookup[i];
        if (event->at > call->now)
            break;
        if (event->key != K_XID || event->integers[1])
            continue;
        int gpu = claiming_gpu(set, call->machine, event);
        if (gpu == NO_GPU)
            continue;
        *data = (struct event_data){device_handle(gpu), EVENT_XID, (uint64_t)event->integers[0],
                                    NO_INSTANCE, NO_INSTANCE};
        return true;
    }
    return false;
}

static int try_wait(struct call *call, void *handle, struct event_data *data, int *watch)
{
    int rc = session_rc(call->machine, call->now);
    *watch = -1;
    if (rc != OK)
        return rc;
    pthread_mutex_lock(&lock);
    struct event_set *set = set_of(handle);
    *watch = set ? watch_of(set) : -1;
    rc = !set ? INVALID_ARGUMENT : next_event(set, call, data) ? OK : TIMEOUT;
    pthread_mutex_unlock(&lock);
    return rc;
}

static int wait_for(struct call *call, void *handle, struct event_data *data, unsigned timeout_ms)
{
    REQUIRE(data);
    ns_t deadline = call->now + (ns_t)timeout_ms * (SECOND / 1000);
    memset(data, 0, sizeof *data);
    for (;;) {
        int watch, rc = try_wait(call, handle, data, &watch);
        ns_t left = deadline - call->now;
        if (rc != TIMEOUT || left <= 0)
            return rc;
        wait_for_tape(watch, left < LOOK_NS ? left : LOOK_NS);
        call_end(call);
        call->machine = machine_acquire();
        call->now = monotonic_ns();
        if (!call->machine)
            return DRIVER_NOT_LOADED;
    }
}

API int nvmlEventSetWait_v2(void *set, struct event_data *data, unsigned timeout_ms)
{
    SYSTEM_CALL();
    return wait_for(&call, set, data, timeout_ms);
}

API int nvmlEventSetWait(void *set, struct event_data *data, unsigned timeout_ms)
{
    SYSTEM_CALL();
    return wait_for(&call, set, data, timeout_ms);
}
