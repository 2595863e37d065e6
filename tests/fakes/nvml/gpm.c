/* GPM: what hardware counters tell between two samples of one GPU, from Hopper on.
 *
 * A sample is an instant; the metrics are the same integrals of load that the counters show, so that a
 * rate of GPM and the difference of a byte counter agree. */
#include "readings.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SAMPLE_MARK 0x47504d53u
#define LEAST_SPAN (SECOND / 10) /* samples must lie further apart */
#define SAMPLES_PER_GPU 4        /* a caller that frees none soon gets no more */
#define MIB (1024.0 * 1024.0)

struct gpm_sample { uint32_t mark; int gpu; ns_t at; };

static atomic_int samples_alive;

API int nvmlGpmQueryDeviceSupport(void *device, struct gpm_support *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != 1)
        return ARGUMENT_VERSION_MISMATCH;
    out->supported = call.config->architecture >= ARCH_HOPPER;
    return OK;
}

API int nvmlGpmSampleAlloc(struct gpm_sample **out)
{
    SYSTEM_CALL();
    REQUIRE(out);
    if (atomic_load(&samples_alive) >= SAMPLES_PER_GPU * call.config->gpus)
        return OUT_OF_MEMORY;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return OUT_OF_MEMORY;
    **out = (struct gpm_sample){.mark = SAMPLE_MARK, .gpu = NO_GPU};
    atomic_fetch_add(&samples_alive, 1);
    return OK;
}

API int nvmlGpmSampleFree(struct gpm_sample *sample)
{
    SYSTEM_CALL();
    REQUIRE(sample);
    if (sample->mark != SAMPLE_MARK)
        return INVALID_ARGUMENT;
    sample->mark = 0;
    free(sample);
    atomic_fetch_sub(&samples_alive, 1);
    return OK;
}

API int nvmlGpmSampleGet(void *device, struct gpm_sample *sample)
{
    GPU_CALL(device);
    REQUIRE(sample);
    if (sample->mark != SAMPLE_MARK)
        return INVALID_ARGUMENT;
    if (call.config->architecture < ARCH_HOPPER)
        return NOT_SUPPORTED;
    sample->gpu = call.gpu;
    sample->at = call.now;
    return OK;
}

/* A metric at a load of 1: percent, or MiB per second. */
static int at_full_load(const struct config *config, struct gpm_metric *metric)
{
    double links = (double)config->nvlinks * config->nvlink_bytes_per_second / MIB;
    double c2c = config->c2c_bytes_per_second / MIB;
    switch (metric->id) {
    case 1: metric->value = 100.0; return OK; /* graphics and compute engine */
    case 2: metric->value = 90.0; return OK;  /* SMs with work */
    case 3: metric->value = 30.0; return OK;  /* warps in them */
    case 5: metric->value = 40.0; return OK;  /* tensor pipes */
    case 10: metric->value = 65.0; return OK; /* memory traffic */
    case 11: metric->value = 0.0; return OK;
    case 12: metric->value = 8.0; return OK;
    case 13: metric->value = 5.0; return OK;
    case 20: case 21: metric->value = config->pcie_bytes_per_second / MIB; return OK;
    case 60: case 61: metric->value = links; return config->nvlinks ? OK : NOT_SUPPORTED;
    case 100: case 101: case 102: case 103:
        metric->value = c2c;
        return config->c2c_links ? OK : NOT_SUPPORTED;
    default: return NOT_SUPPORTED;
    }
}

API int nvmlGpmMetricsGet(struct gpm_metrics *asked)
{
    SYSTEM_CALL();
    REQUIRE(asked);
    if (asked->version != 1)
        return ARGUMENT_VERSION_MISMATCH;
    const struct gpm_sample *first = asked->first, *second = asked->second;
    REQUIRE(first);
    REQUIRE(second);
    if (first->mark != SAMPLE_MARK || second->mark != SAMPLE_MARK || first->gpu == NO_GPU
        || first->gpu != second->gpu || second->at - first->at <= LEAST_SPAN)
        return INVALID_ARGUMENT;
    double span = (double)(second->at - first->at) / (double)SECOND;
    double load = (state_at(call.machine, second->gpu, second->at).load_seconds
                   - state_at(call.machine, first->gpu, first->at).load_seconds) / span;
    for (uint32_t i = 0; i < asked->count; i++) {
        struct gpm_metric *metric = &asked->metrics[i];
        metric->rc = at_full_load(call.config, metric);
        metric->value = metric->rc == OK ? metric->value * load : 0.0;
        metric->name = metric->unit = metric->format = "";
    }
    return OK;
}
