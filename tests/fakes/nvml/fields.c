/* nvmlDeviceGetFieldValues: many readings in one call, each with its own return code.
 *
 * Field numbers 251 to 273 were dealt out anew twice; which deal holds is the driver's affair. */
#include "readings.h"
#include "session.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define EVERY_LINK UINT_MAX
#define MEMORY_SHARE 0.21 /* of a GPU's power; a part of it, never an addend */

struct numbering { uint32_t clocks_event, smoothing_first, smoothing_last, end; };

static struct numbering numbering_of(const char *driver)
{
    int major = 0, minor = 0;
    sscanf(driver, "%d.%d", &major, &minor);
    if (major < 575)
        return (struct numbering){0, 251, 268, 269};
    if (major < 580 || (major == 580 && minor < 82))
        return (struct numbering){251, 256, 273, 274};
    return (struct numbering){269, 251, 268, major < 590 ? 274 : major < 595 ? 289 : 308};
}

static int u32(struct field_value *out, uint64_t value)
{
    out->type = VALUE_UINT;
    out->value.u32 = (uint32_t)value;
    return OK;
}

static int u64(struct field_value *out, uint64_t value)
{
    out->type = VALUE_ULLONG;
    out->value.u64 = value;
    return OK;
}

static int i32(struct field_value *out, int32_t value)
{
    out->type = VALUE_INT;
    out->value.i32 = value;
    return OK;
}

/* ---- power, by scope */

static int average_power(const struct call *call, struct field_value *out)
{
    const struct config *config = call->config;
    if (out->scope == SCOPE_MODULE && config->module_power)
        return u32(out, milliwatts(module_watts(call->machine, call->gpu, call->now, true)));
    double watts = mean_watts(call->machine, call->gpu, call->now);
    if (out->scope == SCOPE_MEMORY && config->memory_power)
        return u32(out, milliwatts(MEMORY_SHARE * watts));
    return out->scope == SCOPE_GPU ? u32(out, milliwatts(watts)) : NOT_SUPPORTED;
}

static int instant_power(const struct call *call, struct field_value *out)
{
    ns_t tick = published(call->machine, call->now);
    if (out->scope == SCOPE_MODULE && call->config->module_power)
        return u32(out, milliwatts(module_watts(call->machine, call->gpu, tick, false)));
    if (out->scope == SCOPE_GPU)
        return u32(out, milliwatts(state_at(call->machine, call->gpu, tick).power_watts));
    return NOT_SUPPORTED;
}

static double limit_watts(const struct call *call, uint32_t id, bool module)
{
    const struct config *config = call->config;
    switch (id) {
    case 187: return module ? config->module_limit_min_watts : config->limit_min_watts;
    case 188: return module ? config->module_limit_watts : config->limit_max_watts;
    case 189: return module ? config->module_limit_watts : config->limit_watts;
    default: return module ? config->module_limit_watts : segment_now(call)->inputs.limit_watts;
    }
}

static int power(const struct call *call, struct field_value *out)
{
    if (out->scope >= SCOPES)
        return INVALID_ARGUMENT;
    if (out->id == 185)
        return average_power(call, out);
    if (out->id == 186)
        return instant_power(call, out);
    bool module = out->scope == SCOPE_MODULE;
    if (out->scope > SCOPE_MODULE || (module && !call->config->module_power))
        return NOT_SUPPORTED;
    return u32(out, milliwatts(limit_watts(call, out->id, module)));
}

/* ---- throttle counters */

static int held(const struct call *call, struct field_value *out, enum meter meter)
{
    return u64(out, (uint64_t)held_ns(call->machine, call->gpu, call->now, meter));
}

static int policy(const struct call *call, struct field_value *out)
{
    switch (out->id) {
    case 74: return held(call, out, HELD_POWER_CAP);
    case 75: return held(call, out, HELD_ANY_THERMAL);
    case 80: return held(call, out, HELD_ANY);
    case 81: return held(call, out, HELD_ANY_HARDWARE);
    default: return u64(out, 0); /* sync boost, board limit, low utilisation, reliability */
    }
}

static int renumbered(const struct call *call, struct field_value *out)
{
    struct numbering numbering = numbering_of(call->config->driver);
    if (out->id >= numbering.end)
        return INVALID_ARGUMENT;
    if (numbering.clocks_event && out->id >= numbering.clocks_event
        && out->id < numbering.clocks_event + 3) {
        static const enum meter meters[] = {HELD_SW_THERMAL, HELD_HW_THERMAL, HELD_POWER_BRAKE};
        return held(call, out, meters[out->id - numbering.clocks_event]);
    }
    bool smoothing = out->id >= numbering.smoothing_first && out->id <= numbering.smoothing_last;
    return smoothing && call->config->architecture >= ARCH_BLACKWELL ? NO_PERMISSION
                                                                     : NOT_SUPPORTED;
}

/* ---- links */

static bool is_link(const struct call *call, const struct field_value *out)
{
    return out->scope < (uint64_t)call->config->nvlinks;
}

static int nvlink_traffic(const struct call *call, struct field_value *out, uint64_t unit)
{
    int64_t links = call->config->nvlinks;
    if (!links)
        return NOT_SUPPORTED;
    if (out->scope != EVERY_LINK && !is_link(call, out))
        return INVALID_ARGUMENT;
    uint64_t each = traffic_bytes(call, call->config->nvlink_bytes_per_second) / unit;
    return u64(out, out->scope == EVERY_LINK ? each * (uint64_t)links : each);
}

/* What the tape has added to one field of one link of a kind. */
static int64_t added(const struct call *call, enum key kind, const struct field_value *out)
{
    int64_t total = 0;
    for (size_t i = 0; i < call->machine->lookups; i++) {
        const struct event *event = call->machine->lookup[i];
        if (event->at > call->now)
            break;
        bool here = event->gpu == EVERY_GPU || event->gpu == call->gpu;
        if (event->key == kind && here && event->integers[0] == (int64_t)out->scope
            && event->integers[1] == (int64_t)out->id)
            total += event->integers[2];
    }
    return total;
}

/* Blackwell counts NVLink 5's errors, the generations before it those of the data link. */
static int nvlink_errors(const struct call *call, struct field_value *out)
{
    bool of_blackwell = out->id > 200;
    if (!call->config->nvlinks || of_blackwell != (call->config->architecture >= ARCH_BLACKWELL))
        return NOT_SUPPORTED;
    if (!is_link(call, out))
        return INVALID_ARGUMENT;
    return u64(out, (uint64_t)added(call, K_NVLINK, out));
}

/* In MB/s; a link that joins nothing has none. */
static uint64_t link_speed(const struct config *config)
{
    if (config->nvlinks_unused)
        return 0;
    return config->architecture >= ARCH_BLACKWELL ? 53125 : 26562;
}

static int nvlink(const struct call *call, struct field_value *out)
{
    switch (out->id) {
    case 91: return call->config->nvlinks ? u32(out, (uint64_t)call->config->nvlinks) : NOT_SUPPORTED;
    case 138: case 139: return nvlink_traffic(call, out, 1024);
    case 202: case 204:
        return out->scope == EVERY_LINK || call->config->architecture < ARCH_BLACKWELL
            ? NOT_SUPPORTED : nvlink_traffic(call, out, 1);
    case 164: return is_link(call, out) ? u32(out, link_speed(call->config)) : NOT_SUPPORTED;
    case 165:
        return is_link(call, out)
            ? u32(out, (uint64_t)(!call->config->nvlinks_unused + added(call, K_NVLINK, out)))
            : NOT_SUPPORTED;
    default: return nvlink_errors(call, out);
    }
}

/* Status, speed, errors and power state of each link to Grace. */
static int c2c(const struct call *call, struct field_value *out)
{
    if (!call->config->c2c_links)
        return NOT_SUPPORTED;
    if (out->id == 170)
        return u32(out, (uint64_t)call->config->c2c_links);
    if (out->scope >= (uint64_t)call->config->c2c_links)
        return INVALID_ARGUMENT;
    struct field_value status = {.id = 171, .scope = out->scope};
    bool active = 1 + added(call, K_C2C, &status) == 1;
    switch (out->id) {
    case 171: return u32(out, active);
    case 172: return u32(out, active ? (uint64_t)(44712 + added(call, K_C2C, out)) : 0);
    default: return u32(out, (uint64_t)added(call, K_C2C, out));
    }
}

/* ---- memory, temperature, health */

static int ecc(const struct call *call, struct field_value *out)
{
    if (!call->config->has_ecc)
        return NOT_SUPPORTED;
    if (out->id <= 2)
        return u32(out, 1);
    return u64(out, segment_now(call)->inputs.ecc[(out->id - 3) % 2]);
}

static int remapped(const struct call *call, struct field_value *out)
{
    const uint64_t *remap = segment_now(call)->inputs.remap;
    return call->config->has_ecc ? u32(out, remap[out->id - 142]) : NOT_SUPPORTED;
}

/* Margins below the point of slowing down: shutdown, slowdown, memory, GPU. */
static int temperature_limit(struct field_value *out)
{
    static const int32_t margins[] = {-5, -2, 0, 0};
    return i32(out, margins[out->id - 193]);
}

static int memory_celsius(const struct call *call, struct field_value *out)
{
    return call->config->has_ecc ? u32(out, (uint64_t)(gpu_celsius(call) + 0.5)) : NOT_SUPPORTED;
}

static int energy(const struct call *call, struct field_value *out)
{
    if (!call->config->has_energy || (out->id == 191 && out->scope != SCOPE_GPU))
        return NOT_SUPPORTED;
    return u64(out, energy_millijoules(call->machine, call->gpu, call->now));
}

static bool between(uint32_t id, uint32_t first, uint32_t last) { return id >= first && id <= last; }

static int pcie(const struct call *call, struct field_value *out)
{
    if (between(out->id, 197, 198))
        return u64(out, traffic_bytes(call, call->config->pcie_bytes_per_second));
    return u32(out, 0); /* error counters */
}

static int read_field(const struct call *call, struct field_value *out)
{
    uint32_t id = out->id;
    if (id == 0)
        return INVALID_ARGUMENT;
    if (id > 250)
        return renumbered(call, out);
    if (between(id, 185, 190) || id == 192)
        return power(call, out);
    if (id == 83 || id == 191)
        return energy(call, out);
    if (between(id, 74, 81))
        return policy(call, out);
    if (id == 91 || between(id, 138, 139) || between(id, 161, 165) || id == 202 || id == 204
        || between(id, 206, 215) || id == 219 || id == 221 || between(id, 235, 250))
        return nvlink(call, out);
    if (between(id, 170, 172) || between(id, 231, 234))
        return c2c(call, out);
    if (between(id, 1, 6))
        return ecc(call, out);
    if (between(id, 142, 145))
        return remapped(call, out);
    if (between(id, 193, 196))
        return call->config->architecture >= ARCH_ADA ? temperature_limit(out) : NOT_SUPPORTED;
    if (between(id, 197, 198) || id == 94 || between(id, 173, 183))
        return pcie(call, out);
    if (id == 82)
        return memory_celsius(call, out);
    if (id == 230)
        return u32(out, (uint64_t)segment_now(call)->inputs.recovery_action);
    return NOT_SUPPORTED;
}

API int nvmlDeviceGetFieldValues(void *device, int count, struct field_value *values)
{
    GPU_CALL(device);
    if (count < 1 || !values)
        return INVALID_ARGUMENT;
    for (int i = 0; i < count; i++) {
        struct field_value out = {.id = values[i].id, .scope = values[i].scope};
        ns_t started = monotonic_ns();
        out.rc = read_field(&call, &out);
        out.timestamp_us = wall_clock_us(call.now);
        out.latency_us = (monotonic_ns() - started + call.slept / count) / 1000;
        if (out.rc != OK)
            out.value.u64 = 0;
        values[i] = out;
    }
    return OK;
}
