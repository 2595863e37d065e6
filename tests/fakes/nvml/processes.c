/* The processes that a GPU runs, as the tape tells. */
#include "readings.h"
#include "session.h"

#include <string.h>

struct process { uint32_t pid; uint64_t bytes; uint32_t gpu_instance, compute_instance; };
struct processes { struct process items[MAX_PROCESSES]; unsigned count; };

static void forget(struct processes *list, uint32_t pid)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].pid == pid) {
            list->items[i] = list->items[--list->count];
            return;
        }
}

static void processes_now(const struct call *call, struct processes *list)
{
    list->count = 0;
    for (size_t i = 0; i < call->machine->lookups; i++) {
        const struct event *event = call->machine->lookup[i];
        if (event->at > call->now)
            return;
        if (event->gpu != EVERY_GPU && event->gpu != call->gpu)
            continue;
        bool inside = event->key == K_PROCESS_IN; /* a MIG instance */
        if (event->key != K_PROCESS && !inside && event->key != K_PROCESS_GONE)
            continue;
        forget(list, (uint32_t)event->integers[0]);
        if (event->key != K_PROCESS_GONE && list->count < MAX_PROCESSES)
            list->items[list->count++] = (struct process){
                (uint32_t)event->integers[0], (uint64_t)event->integers[1],
                inside ? (uint32_t)event->integers[2] : NO_INSTANCE,
                inside ? (uint32_t)event->integers[3] : NO_INSTANCE,
            };
    }
}

uint64_t processes_bytes(const struct call *call)
{
    struct processes list;
    uint64_t total = 0;
    processes_now(call, &list);
    for (unsigned i = 0; i < list.count; i++)
        total += list.items[i].bytes;
    return total;
}

static int compute_processes(const char *function, void *device, unsigned *count,
                             struct process_v2 *out)
{
    CALL(call_begin_on(&call, function, device));
    REQUIRE(count);
    struct processes list;
    processes_now(&call, &list);
    bool fits = list.count <= *count && (out || list.count == 0);
    *count = list.count;
    for (unsigned i = 0; fits && i < list.count; i++) {
        memset(&out[i], 0, sizeof out[i]);
        out[i].pid = list.items[i].pid;
        out[i].used = list.items[i].bytes;
        out[i].gpu_instance = list.items[i].gpu_instance;
        out[i].compute_instance = list.items[i].compute_instance;
    }
    return fits ? OK : INSUFFICIENT_SIZE;
}

static int no_processes(const char *function, void *device, unsigned *count)
{
    CALL(call_begin_on(&call, function, device));
    REQUIRE(count);
    *count = 0;
    return OK;
}

#define COMPUTE(name)                                                       \
    API int name(void *device, unsigned *count, struct process_v2 *out)     \
    {                                                                       \
        return compute_processes(__func__, device, count, out);             \
    }
COMPUTE(nvmlDeviceGetComputeRunningProcesses_v2)
COMPUTE(nvmlDeviceGetComputeRunningProcesses_v3)

#define NONE_OF(name) \
    API int name(void *device, unsigned *count) { return no_processes(__func__, device, count); }
NONE_OF(nvmlDeviceGetGraphicsRunningProcesses_v2)
NONE_OF(nvmlDeviceGetGraphicsRunningProcesses_v3)
NONE_OF(nvmlDeviceGetMPSComputeRunningProcesses_v2)
NONE_OF(nvmlDeviceGetMPSComputeRunningProcesses_v3)

API int nvmlDeviceGetRunningProcessDetailList(void *device, struct process_list *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct process_list, 1))
        return ARGUMENT_VERSION_MISMATCH;
    struct processes list = {.count = 0};
    if (out->mode == 0)
        processes_now(&call, &list);
    bool fits = list.count <= out->count && (out->items || list.count == 0);
    out->count = list.count;
    for (unsigned i = 0; fits && i < list.count; i++) {
        memset(&out->items[i], 0, sizeof out->items[i]);
        out->items[i].pid = list.items[i].pid;
        out->items[i].used = list.items[i].bytes;
        out->items[i].gpu_instance = list.items[i].gpu_instance;
        out->items[i].compute_instance = list.items[i].compute_instance;
    }
    return fits ? OK : INSUFFICIENT_SIZE;
}

/* A GPU's processes share its utilisation evenly. */
API int nvmlDeviceGetProcessUtilization(void *device, struct process_sample *out, unsigned *count,
                                        uint64_t last_seen_us)
{
    GPU_CALL(device);
    REQUIRE(count);
    struct processes list;
    processes_now(&call, &list);
    uint64_t now_us = (uint64_t)wall_clock_us(published(call.machine, call.now));
    if (list.count == 0 || now_us <= last_seen_us)
        return NOT_FOUND;
    bool fits = out && list.count <= *count;
    double share = utilization(call.machine, call.gpu, call.now) / list.count;
    *count = list.count;
    for (unsigned i = 0; fits && i < list.count; i++) {
        memset(&out[i], 0, sizeof out[i]);
        out[i].pid = list.items[i].pid;
        out[i].timestamp_us = now_us;
        out[i].sm = (uint32_t)(share * 100 + 0.5);
        out[i].memory = (uint32_t)(share * 60 + 0.5);
    }
    return fits ? OK : INSUFFICIENT_SIZE;
}
