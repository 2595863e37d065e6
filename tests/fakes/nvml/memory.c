/* A GPU's memory: how much is used, and what has gone wrong in it. */
#include "readings.h"
#include "session.h"

#include <string.h>
#include <unistd.h>

#define REMAP_BANKS 5952

static uint64_t memory_used(const struct call *call)
{
    const struct config *config = call->config;
    const struct segment *segment = segment_now(call);
    uint64_t most = (uint64_t)(config->memory_bytes - config->reserved_bytes);
    uint64_t used = (uint64_t)segment->inputs.memory_used;
    if (segment->inputs.memory_used < 0) {
        double follows = 0.75 * segment->inputs.load * (double)config->memory_bytes;
        used = (uint64_t)follows + processes_bytes(call);
    }
    return used < most ? used : most;
}

API int nvmlDeviceGetMemoryInfo(void *device, struct memory_v1 *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    out->total = (uint64_t)call.config->memory_bytes;
    out->used = memory_used(&call) + (uint64_t)call.config->reserved_bytes;
    out->free = out->total - out->used;
    return OK;
}

API int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct memory_v2, 2))
        return ARGUMENT_VERSION_MISMATCH;
    out->total = (uint64_t)call.config->memory_bytes;
    out->reserved = (uint64_t)call.config->reserved_bytes;
    out->used = memory_used(&call);
    out->free = out->total - out->used - out->reserved;
    return OK;
}

API int nvmlDeviceGetBAR1MemoryInfo(void *device, struct bar1_memory *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    out->total = (uint64_t)call.config->bar1_bytes;
    out->used = 1u << 20;
    out->free = out->total - out->used;
    return OK;
}

/* ---- errors */

API int nvmlDeviceGetTotalEccErrors(void *device, unsigned kind, unsigned counter,
                                    unsigned long long *count)
{
    GPU_CALL(device);
    REQUIRE(count);
    if (kind >= ECC_KINDS || counter > 1)
        return INVALID_ARGUMENT;
    *count = segment_now(&call)->inputs.ecc[kind];
    return call.config->has_ecc ? OK : NOT_SUPPORTED;
}

API int nvmlDeviceGetMemoryErrorCounter(void *device, unsigned kind, unsigned counter,
                                        unsigned location, unsigned long long *count)
{
    GPU_CALL(device);
    REQUIRE(count);
    if (kind >= ECC_KINDS || counter > 1)
        return INVALID_ARGUMENT;
    if (!call.config->has_ecc || (location != 2 && location != 7))
        return NOT_SUPPORTED;
    *count = location == 2 ? segment_now(&call)->inputs.ecc[kind] : 0;
    return OK;
}

API int nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending)
{
    GPU_CALL(device);
    REQUIRE(current);
    REQUIRE(pending);
    *current = *pending = 1;
    return call.config->has_ecc ? OK : NOT_SUPPORTED;
}

API int nvmlDeviceGetSramEccErrorStatus(void *device, struct sram_ecc *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct sram_ecc, 1))
        return ARGUMENT_VERSION_MISMATCH;
    if (!call.config->has_ecc)
        return NOT_SUPPORTED;
    if (geteuid() != 0)
        return NO_PERMISSION;
    memset(out->counts, 0, sizeof out->counts);
    out->threshold_exceeded = 0;
    return OK;
}

API int nvmlDeviceGetRemappedRows(void *device, unsigned *correctable, unsigned *uncorrectable,
                                  unsigned *pending, unsigned *failure)
{
    GPU_CALL(device);
    if (!correctable || !uncorrectable || !pending || !failure)
        return INVALID_ARGUMENT;
    const uint64_t *remap = segment_now(&call)->inputs.remap;
    *correctable = (unsigned)remap[REMAP_CORRECTABLE];
    *uncorrectable = (unsigned)remap[REMAP_UNCORRECTABLE];
    *pending = remap[REMAP_PENDING] != 0;
    *failure = remap[REMAP_FAILURE] != 0;
    return call.config->has_ecc ? OK : NOT_SUPPORTED;
}

API int nvmlDeviceGetRowRemapperHistogram(void *device, struct remap_histogram *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    const uint64_t *remap = segment_now(&call)->inputs.remap;
    uint64_t touched = remap[REMAP_CORRECTABLE] + remap[REMAP_UNCORRECTABLE];
    touched = touched < REMAP_BANKS ? touched : REMAP_BANKS;
    memset(out, 0, sizeof *out);
    out->high = (uint32_t)touched;
    out->max = REMAP_BANKS - out->high;
    return call.config->has_ecc ? OK : NOT_SUPPORTED;
}
