/* The driver's ring of samples: the last 1.2 s at 100 Hz. */
#include "readings.h"
#include "session.h"

#include <math.h>
#include <string.h>

#define SAMPLE_NS (SECOND / 100)
#define RING 120

static uint32_t sampled(const struct call *call, unsigned kind, ns_t at)
{
    if (kind == SAMPLES_MODULE_POWER)
        return milliwatts(module_watts(call->machine, call->gpu, at, false));
    if (kind == SAMPLES_UTILIZATION)
        return (uint32_t)lround(segment_at(call->machine, call->gpu, at)->inputs.load * 100);
    return milliwatts(state_at(call->machine, call->gpu, at).power_watts);
}

static bool has_samples(const struct config *config, unsigned kind)
{
    return kind == SAMPLES_POWER || kind == SAMPLES_UTILIZATION
        || (kind == SAMPLES_MODULE_POWER && config->module_power);
}

/* How many samples of the ring are newer than a time stamp. */
static unsigned newer(ns_t last, uint64_t seen_us)
{
    unsigned count = 0;
    while (count < RING && (uint64_t)wall_clock_us(last - count * SAMPLE_NS) > seen_us)
        count++;
    return count;
}

API int nvmlDeviceGetSamples(void *device, unsigned kind, uint64_t last_seen_us, unsigned *type,
                             unsigned *count, struct sample *out)
{
    GPU_CALL(device);
    REQUIRE(type);
    REQUIRE(count);
    if (!has_samples(call.config, kind))
        return NOT_SUPPORTED;
    ns_t since = call.now - call.config->epoch;
    ns_t last = call.now - (since > 0 ? since % SAMPLE_NS : 0);
    unsigned found = newer(last, last_seen_us);
    *type = VALUE_UINT;
    if (found == 0)
        return NOT_FOUND;
    unsigned given = out && *count < found ? *count : found;
    *count = out ? given : RING;
    for (unsigned i = 0; out && i < given; i++) {
        ns_t at = last - (ns_t)(given - 1 - i) * SAMPLE_NS;
        memset(&out[i], 0, sizeof out[i]);
        out[i].timestamp_us = (uint64_t)wall_clock_us(at);
        out[i].value.u32 = sampled(&call, kind, at);
    }
    return OK;
}
