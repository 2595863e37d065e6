/* Readings that more than one file needs. */
#ifndef READINGS_H
#define READINGS_H

#include "session.h"

static inline const struct segment *segment_now(const struct call *call)
{
    return segment_at(call->machine, call->gpu, call->now);
}

uint32_t milliwatts(double watts);
double gpu_celsius(const struct call *call);
uint64_t traffic_bytes(const struct call *call, double bytes_per_second);
uint64_t processes_bytes(const struct call *call);

#endif
