/* One call into the library: whose it is, which machine it sees, and what is wrong with it. */
#ifndef SESSION_H
#define SESSION_H

#include "shim_abi.h"
#include "tape.h"

#define NO_GPU (-1)

struct call {
    struct machine *machine;
    const struct config *config;
    int gpu;
    ns_t now, slept;
};

int call_begin(struct call *call, const char *function, int gpu);
int call_begin_on(struct call *call, const char *function, const void *device);
void call_end(struct call *call);

void *device_handle(int gpu);
int device_index(const void *device); /* NO_GPU when it is no handle of ours */

int session_rc(const struct machine *machine, ns_t now); /* the driver's own standing */
int64_t wall_clock_us(ns_t monotonic);                   /* steady for the process's life */
void sleep_ns(ns_t span);

int copy_text(char *out, uint32_t size, const char *text);
void event_sets_clear(void);

/* Opens a call for the rest of the function's block; returns at once when it fails. */
#define CALL(begin)                                                        \
    struct call call __attribute__((cleanup(call_end))) = {.machine = 0};  \
    {                                                                      \
        int begin_rc = begin;                                              \
        if (begin_rc != OK)                                                \
            return begin_rc;                                               \
    }
#define SYSTEM_CALL() CALL(call_begin(&call, __func__, NO_GPU))
#define GPU_CALL(device) CALL(call_begin_on(&call, __func__, device))
#define REQUIRE(pointer)             \
    do {                             \
        if (!(pointer))              \
            return INVALID_ARGUMENT; \
    } while (0)

#endif
