/* Reads the tape, again whenever it has changed, and shares the outcome. */
#define _GNU_SOURCE
#include "tape.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct machine *newest;
static struct stat seen;
static long reported; /* the last line that a complaint was made about */

static _Atomic ns_t stopped_at;

/* Stops the clock of this process at a moment; at 0 it goes on. For tests that move time themselves. */
__attribute__((visibility("default"))) void fake_nvml_clock(ns_t at) { stopped_at = at; }

ns_t monotonic_ns(void)
{
    struct timespec now;
    if (stopped_at)
        return stopped_at;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static void complain(long number, const char *line)
{
    if (number <= reported)
        return;
    reported = number;
    fprintf(stderr, "fake nvml: line %ld of the tape ignored: %s\n", number, line);
}

static bool append(struct machine *machine, const struct event *event)
{
    if ((machine->count & (machine->count - 1)) == 0) {
        size_t capacity = machine->count ? 2 * machine->count : 1;
        void *grown = realloc(machine->events, capacity * sizeof *event);
        if (!grown)
            return false;
        machine->events = grown;
    }
    machine->events[machine->count++] = *event;
    return true;
}

static void take_line(struct machine *machine, char *line, long number)
{
    struct event event;
    char *copy = strdup(line);
    if (!copy)
        return;
    if (*line >= '0' && *line <= '9') {
        if (event_line(&machine->config, line, &event)) {
            event.line = number;
            append(machine, &event);
        } else {
            complain(number, copy);
        }
    } else if (*line && *line != '#' && !config_line(&machine->config, line)) {
        complain(number, copy);
    }
    free(copy);
}

/* Takes the complete lines; a torn last one waits for its newline. */
static void take_lines(struct machine *machine, char *text)
{
    long number = 1;
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        take_line(machine, text, number++);
    }
}

static char *read_all(int fd, size_t size)
{
    char *text = malloc(size + 1);
    size_t got = 0;
    ssize_t n = 1;
    while (text && got < size && n > 0) {
        n = read(fd, text + got, size - got);
        got += n > 0 ? (size_t)n : 0;
    }
    if (text)
        text[got] = '\0';
    return text;
}

static struct machine *machine_read(const char *path, struct stat *status)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 && fstat(fd, status) == 0 ? read_all(fd, (size_t)status->st_size) : NULL;
    struct machine *machine = text ? calloc(1, sizeof *machine) : NULL;
    if (fd >= 0)
        close(fd);
    if (machine) {
        machine->references = 1;
        config_line(&machine->config, "preset=gb300");
        take_lines(machine, text);
        machine_build(machine);
    }
    free(text);
    return machine;
}

static void drop(struct machine *machine)
{
    if (!machine || --machine->references > 0)
        return;
    for (int i = 0; i < MAX_GPUS; i++)
        free(machine->gpus[i].segments);
    free(machine->lookup);
    free(machine->events);
    free(machine);
}

static bool changed(const struct stat *now)
{
    return now->st_ino != seen.st_ino || now->st_size != seen.st_size
        || now->st_mtim.tv_sec != seen.st_mtim.tv_sec
        || now->st_mtim.tv_nsec != seen.st_mtim.tv_nsec;
}

static void refresh(const char *path)
{
    struct stat now;
    if (newest && stat(path, &now) == 0 && !changed(&now))
        return;
    drop(newest);
    newest = machine_read(path, &seen);
}

struct machine *machine_acquire(void)
{
    const char *path = getenv("RACKWATT_FAKE_NVML");
    if (!path)
        return NULL;
    pthread_mutex_lock(&lock);
    refresh(path);
    struct machine *machine = newest;
    if (machine)
        machine->references++;
    pthread_mutex_unlock(&lock);
    return machine;
}

void machine_release(struct machine *machine)
{
    pthread_mutex_lock(&lock);
    drop(machine);
    pthread_mutex_unlock(&lock);
}
