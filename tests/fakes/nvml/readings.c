/* What a GPU is doing: power, temperature, clocks, memory and errors, one function each. */
#include "readings.h"
#include "session.h"

#include <math.h>

#define PCIE_WINDOW (SECOND / 50) /* the counter is read twice, 20 ms apart */

uint32_t milliwatts(double watts) { return (uint32_t)lround(watts * 1e3); }

double gpu_celsius(const struct call *call)
{
    return state_at(call->machine, call->gpu, call->now).celsius;
}

uint64_t traffic_bytes(const struct call *call, double bytes_per_second)
{
    struct state state = state_at(call->machine, call->gpu, call->now);
    return (uint64_t)(state.load_seconds * bytes_per_second);
}

/* ---- power and energy */

API int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt)
{
    GPU_CALL(device);
    REQUIRE(milliwatt);
    *milliwatt = milliwatts(mean_watts(call.machine, call.gpu, call.now));
    return OK;
}

API int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
    GPU_CALL(device);
    REQUIRE(millijoules);
    *millijoules = energy_millijoules(call.machine, call.gpu, call.now);
    return call.config->has_energy ? OK : NOT_SUPPORTED;
}

#define LIMIT_OF(name, watts)                       \
    API int name(void *device, unsigned *milliwatt) \
    {                                               \
        GPU_CALL(device);                           \
        REQUIRE(milliwatt);                         \
        *milliwatt = milliwatts(watts);             \
        return OK;                                  \
    }
LIMIT_OF(nvmlDeviceGetEnforcedPowerLimit, segment_now(&call)->inputs.limit_watts)
LIMIT_OF(nvmlDeviceGetPowerManagementLimit, segment_now(&call)->inputs.limit_watts)
LIMIT_OF(nvmlDeviceGetPowerManagementDefaultLimit, call.config->limit_watts)

API int nvmlDeviceGetPowerManagementLimitConstraints(void *device, unsigned *least, unsigned *most)
{
    GPU_CALL(device);
    REQUIRE(least);
    REQUIRE(most);
    *least = milliwatts(call.config->limit_min_watts);
    *most = milliwatts(call.config->limit_max_watts);
    return OK;
}

/* ---- temperature */

API int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
    GPU_CALL(device);
    REQUIRE(celsius);
    if (sensor != 0)
        return INVALID_ARGUMENT;
    *celsius = (unsigned)lround(gpu_celsius(&call));
    return OK;
}

API int nvmlDeviceGetTemperatureV(void *device, struct temperature_v1 *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct temperature_v1, 1))
        return ARGUMENT_VERSION_MISMATCH;
    if (out->sensor != 0)
        return INVALID_ARGUMENT;
    out->celsius = (int32_t)lround(gpu_celsius(&call));
    return OK;
}

API int nvmlDeviceGetMarginTemperature(void *device, struct margin_v1 *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct margin_v1, 1))
        return ARGUMENT_VERSION_MISMATCH;
    out->kelvin = (int32_t)lround((double)call.config->slowdown_celsius - gpu_celsius(&call));
    return OK;
}

/* Blackwell tells margins only. */
API int nvmlDeviceGetTemperatureThreshold(void *device, unsigned threshold, unsigned *celsius)
{
    GPU_CALL(device);
    REQUIRE(celsius);
    if (call.config->architecture >= ARCH_BLACKWELL || threshold > 3)
        return NOT_SUPPORTED;
    *celsius = (unsigned)call.config->slowdown_celsius + (threshold == 0 ? 5 : 0);
    return OK;
}

/* ---- utilisation, clocks and what holds them back */

API int nvmlDeviceGetUtilizationRates(void *device, struct utilization *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    double busy = utilization(call.machine, call.gpu, call.now);
    out->gpu = (uint32_t)lround(busy * 100);
    out->memory = (uint32_t)lround(busy * 60);
    return OK;
}

static int codec_utilization(const char *function, void *device, unsigned *busy, unsigned *period)
{
    CALL(call_begin_on(&call, function, device));
    REQUIRE(busy);
    REQUIRE(period);
    *busy = 0;
    *period = 100000;
    return OK;
}

API int nvmlDeviceGetEncoderUtilization(void *device, unsigned *busy, unsigned *period)
{
    return codec_utilization(__func__, device, busy, period);
}

API int nvmlDeviceGetDecoderUtilization(void *device, unsigned *busy, unsigned *period)
{
    return codec_utilization(__func__, device, busy, period);
}

/* Power goes with the cube of the clock, roughly; slowdowns cut the clock itself. */
static double sm_mhz(const struct call *call)
{
    const struct config *config = call->config;
    const struct segment *segment = segment_now(call);
    double wanted = segment->demand_watts - config->idle_watts;
    if (segment->inputs.load <= 0)
        return config->sm_idle_mhz;
    double given = fmax(0, segment->target_watts - config->idle_watts);
    double share = wanted > 0 ? cbrt(given / wanted) : 1.0;
    return fmax(config->sm_idle_mhz, config->sm_max_mhz * segment->slowdown_factor * share);
}

static int clock_mhz(const struct call *call, unsigned domain, bool most, unsigned *mhz)
{
    const struct config *config = call->config;
    REQUIRE(mhz);
    if (domain > 3)
        return INVALID_ARGUMENT;
    bool busy = most || segment_now(call)->inputs.load > 0;
    double sm = most ? config->sm_max_mhz : sm_mhz(call);
    double memory = busy ? config->memory_max_mhz : config->memory_idle_mhz;
    *mhz = (unsigned)lround(domain == 2 ? memory : domain == 3 ? 0.9 * sm : sm);
    return OK;
}

API int nvmlDeviceGetClockInfo(void *device, unsigned domain, unsigned *mhz)
{
    GPU_CALL(device);
    return clock_mhz(&call, domain, false, mhz);
}

API int nvmlDeviceGetMaxClockInfo(void *device, unsigned domain, unsigned *mhz)
{
    GPU_CALL(device);
    return clock_mhz(&call, domain, true, mhz);
}

API int nvmlDeviceGetClock(void *device, unsigned domain, unsigned which, unsigned *mhz)
{
    GPU_CALL(device);
    return which == 0 ? clock_mhz(&call, domain, false, mhz) : NOT_SUPPORTED;
}

static uint64_t clock_reasons(const struct segment *segment)
{
    const bool *on = segment->inputs.slowdowns;
    uint64_t reasons = 0;
    reasons |= on[HW_THERMAL] ? REASON_HW_THERMAL | REASON_HW_SLOWDOWN : 0;
    reasons |= on[POWER_BRAKE] ? REASON_POWER_BRAKE | REASON_HW_SLOWDOWN : 0;
    reasons |= on[HW_SLOWDOWN] ? REASON_HW_SLOWDOWN : 0;
    reasons |= on[SW_THERMAL] ? REASON_SW_THERMAL : 0;
    reasons |= segment->held[HELD_POWER_CAP] ? REASON_SW_POWER_CAP : 0;
    return reasons == 0 && segment->inputs.load <= 0 ? REASON_GPU_IDLE : reasons;
}

static int current_reasons(const char *function, void *device, uint64_t *reasons)
{
    CALL(call_begin_on(&call, function, device));
    REQUIRE(reasons);
    *reasons = clock_reasons(segment_now(&call));
    return OK;
}

API int nvmlDeviceGetCurrentClocksEventReasons(void *device, uint64_t *reasons)
{
    return current_reasons(__func__, device, reasons);
}

API int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, uint64_t *reasons)
{
    return current_reasons(__func__, device, reasons);
}

API int nvmlDeviceGetViolationStatus(void *device, unsigned policy, struct violation *out)
{
    static const int meters[] = {
        [0] = HELD_POWER_CAP, [1] = HELD_ANY_THERMAL, [2] = METERS, [3] = METERS, [4] = METERS,
        [5] = METERS, [6] = -1, [7] = -1, [8] = -1, [9] = -1, [10] = HELD_ANY,
        [11] = HELD_ANY_HARDWARE,
    };
    GPU_CALL(device);
    REQUIRE(out);
    if (policy > 11 || meters[policy] < 0)
        return INVALID_ARGUMENT;
    out->reference_us = (uint64_t)wall_clock_us(call.now);
    out->held_ns = meters[policy] == METERS ? 0 : (uint64_t)held_ns(
        call.machine, call.gpu, call.now, (enum meter)meters[policy]);
    return OK;
}

API int nvmlDeviceGetPerformanceState(void *device, unsigned *state)
{
    GPU_CALL(device);
    REQUIRE(state);
    bool rests = call.config->architecture < ARCH_HOPPER && segment_now(&call)->inputs.load <= 0;
    *state = rests ? 8 : 0;
    return OK;
}

API int nvmlDeviceGetFanSpeed(void *device, unsigned *percent)
{
    GPU_CALL(device);
    REQUIRE(percent);
    *percent = 30;
    return call.config->has_fan ? OK : NOT_SUPPORTED;
}

/* ---- PCIe */

API int nvmlDeviceGetPcieThroughput(void *device, unsigned counter, unsigned *kilobytes_per_second)
{
    GPU_CALL(device);
    REQUIRE(kilobytes_per_second);
    if (counter > 1)
        return INVALID_ARGUMENT;
    uint64_t before = traffic_bytes(&call, call.config->pcie_bytes_per_second);
    sleep_ns(PCIE_WINDOW);
    call.now += PCIE_WINDOW;
    uint64_t moved = traffic_bytes(&call, call.config->pcie_bytes_per_second) - before;
    *kilobytes_per_second = (unsigned)((double)moved / 1024 / 0.02);
    return OK;
}

API int nvmlDeviceGetPcieReplayCounter(void *device, unsigned *count)
{
    GPU_CALL(device);
    REQUIRE(count);
    *count = 0;
    return OK;
}
