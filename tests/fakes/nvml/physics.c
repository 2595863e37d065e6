/* What the GPUs do: closed forms from one event to the next, and prefix sums of them. */
#include "tape.h"

#include <math.h>
#include <stdlib.h>

#define POWER_LAG 0.15   /* seconds */
#define THERMAL_LAG 15.0 /* seconds */
#define UTILIZATION_WINDOW (SECOND / 2)

static const double slowdown_factors[SLOWDOWNS] = {
    [HW_THERMAL] = 0.5, [SW_THERMAL] = 0.8, [POWER_BRAKE] = 0.4, [HW_SLOWDOWN] = 0.5,
};

static double seconds(ns_t span) { return (double)span * 1e-9; }

/* Temperature follows ambient + k * power, which itself decays towards the segment's target:
 * a sum of both exponentials. */
static double celsius_after(const struct config *config, const struct segment *from, double dt)
{
    double k = config->celsius_per_watt;
    double settled = from->inputs.ambient_celsius + k * from->target_watts;
    double fast = k * (from->start.power_watts - from->target_watts)
                / (1.0 - THERMAL_LAG / POWER_LAG);
    double slow = from->start.celsius - settled - fast;
    return settled + fast * exp(-dt / POWER_LAG) + slow * exp(-dt / THERMAL_LAG);
}

static struct state advance(const struct config *config, const struct segment *from, ns_t at)
{
    double dt = seconds(at - from->start.at);
    double above = from->start.power_watts - from->target_watts;
    struct state state = {
        .at = at,
        .power_watts = from->target_watts + above * exp(-dt / POWER_LAG),
        .energy_joules = from->start.energy_joules + from->target_watts * dt
                       - above * POWER_LAG * expm1(-dt / POWER_LAG),
        .celsius = celsius_after(config, from, dt),
        .load_seconds = from->start.load_seconds + from->inputs.load * dt,
    };
    for (int i = 0; i < METERS; i++)
        state.held_ns[i] = from->start.held_ns[i] + (from->held[i] ? at - from->start.at : 0);
    return state;
}

/* Settles what the inputs demand, and which limits hold it back. */
static void settle(const struct config *config, struct segment *segment)
{
    const struct inputs *in = &segment->inputs;
    double factor = 1.0;
    for (int i = 0; i < SLOWDOWNS; i++)
        if (in->slowdowns[i])
            factor = fmin(factor, slowdown_factors[i]);
    double swing = config->demand_max_watts - config->idle_watts;
    bool hardware = in->slowdowns[HW_THERMAL] || in->slowdowns[POWER_BRAKE]
                 || in->slowdowns[HW_SLOWDOWN];
    bool clamped = config->idle_watts + in->load * swing * factor > in->limit_watts;
    segment->slowdown_factor = factor;
    segment->demand_watts = config->idle_watts + in->load * swing * factor;
    segment->target_watts = fmin(segment->demand_watts, in->limit_watts);
    segment->held[HELD_POWER_CAP] = clamped;
    segment->held[HELD_SW_THERMAL] = in->slowdowns[SW_THERMAL];
    segment->held[HELD_HW_THERMAL] = in->slowdowns[HW_THERMAL];
    segment->held[HELD_POWER_BRAKE] = in->slowdowns[POWER_BRAKE];
    segment->held[HELD_ANY_THERMAL] = in->slowdowns[SW_THERMAL] || in->slowdowns[HW_THERMAL];
    segment->held[HELD_ANY_HARDWARE] = hardware;
    segment->held[HELD_ANY] = clamped || hardware || in->slowdowns[SW_THERMAL];
}

static void restart_counters(struct segment *segment)
{
    segment->inputs.energy_base = segment->start.energy_joules;
    for (int i = 0; i < METERS; i++)
        segment->inputs.held_base[i] = segment->start.held_ns[i];
}

static void remap(struct inputs *in, const struct event *event)
{
    uint64_t *slot = &in->remap[event->integers[0]];
    bool is_flag = event->integers[0] >= REMAP_PENDING;
    *slot = (is_flag ? 0 : *slot) + (uint64_t)event->integers[1];
}

static void apply(struct segment *segment, const struct event *event)
{
    struct inputs *in = &segment->inputs;
    const int64_t *values = event->integers;
    switch (event->key) {
    case K_LOAD: in->load = fmin(1.0, fmax(0.0, event->number)); break;
    case K_POWER_LIMIT: in->limit_watts = event->number; break;
    case K_TEMPERATURE: in->ambient_celsius = event->number; break;
    case K_THROTTLE: in->slowdowns[values[0]] = values[1]; break;
    case K_MEMORY_USED: in->memory_used = values[0]; break;
    case K_LOST: in->lost = values[0]; break;
    case K_RESET_REQUIRED: in->reset_required = values[0]; break;
    case K_RESET_ENERGY: restart_counters(segment); break;
    case K_ECC: in->ecc[values[0]] += (uint64_t)values[1]; break;
    case K_REMAP: remap(in, event); break;
    case K_RECOVERY_ACTION: in->recovery_action = values[0]; break;
    case K_FABRIC: in->fabric[values[0]] = values[1]; break;
    default: break;
    }
}

/* A machine at rest: its GPUs have idled since long before the tape began. */
static struct segment at_rest(const struct config *config)
{
    struct segment segment = {
        .start.at = config->epoch,
        .inputs = {
            .limit_watts = config->limit_watts,
            .ambient_celsius = config->ambient_celsius,
            .memory_used = -1,
            .fabric = {3, 0, config->clique, config->fabric_mask, config->fabric_summary},
        },
    };
    settle(config, &segment);
    segment.start.power_watts = segment.target_watts;
    segment.start.celsius =
        config->ambient_celsius + config->celsius_per_watt * segment.target_watts;
    return segment;
}

static bool concerns(const struct event *event, int gpu)
{
    return event->key <= K_LAST_PHYSICAL && (event->gpu == EVERY_GPU || event->gpu == gpu);
}

static void build_gpu(struct machine *machine, int index)
{
    const struct config *config = &machine->config;
    struct gpu *gpu = &machine->gpus[index];
    size_t wanted = 1;
    for (size_t i = 0; i < machine->count; i++)
        wanted += concerns(&machine->events[i], index);
    gpu->segments = malloc(wanted * sizeof *gpu->segments);
    if (!gpu->segments)
        abort();
    gpu->segments[gpu->count++] = at_rest(config);
    for (size_t i = 0; i < machine->count; i++) {
        const struct event *event = &machine->events[i];
        if (!concerns(event, index))
            continue;
        struct segment *from = &gpu->segments[gpu->count - 1];
        struct segment *next = &gpu->segments[gpu->count++];
        *next = *from;
        next->start = advance(config, from, event->at > config->epoch ? event->at : config->epoch);
        apply(next, event);
        settle(config, next);
    }
}

static int by_time(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

/* Orders the events, works out every GPU and lists the events to look up. */
void machine_build(struct machine *machine)
{
    if (machine->count)
        qsort(machine->events, machine->count, sizeof *machine->events, by_time);
    for (int i = 0; i < machine->config.gpus; i++)
        build_gpu(machine, i);
    machine->lookup = calloc(machine->count + 1, sizeof *machine->lookup);
    for (size_t i = 0; machine->lookup && i < machine->count; i++)
        if (machine->events[i].key > K_LAST_PHYSICAL)
            machine->lookup[machine->lookups++] = &machine->events[i];
}

const struct segment *segment_at(const struct machine *machine, int index, ns_t at)
{
    const struct gpu *gpu = &machine->gpus[index];
    size_t low = 0, high = gpu->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (gpu->segments[middle].start.at <= at)
            low = middle;
        else
            high = middle;
    }
    return &gpu->segments[low];
}

struct state state_at(const struct machine *machine, int gpu, ns_t at)
{
    return advance(&machine->config, segment_at(machine, gpu, at), at);
}

/* The last instant at which slow sensors and counters were published. */
ns_t published(const struct machine *machine, ns_t at)
{
    ns_t since = at - machine->config.epoch;
    ns_t step = machine->config.renewed_ms ? machine->config.renewed_ms * (SECOND / 1000) : PUBLISH_NS;
    return since < 0 ? at : at - since % step;
}

double mean_watts(const struct machine *machine, int gpu, ns_t at)
{
    return state_at(machine, gpu, at).energy_joules
         - state_at(machine, gpu, at - SECOND).energy_joules;
}

/* A superchip's module: both of its GPUs and its Grace. */
double module_watts(const struct machine *machine, int gpu, ns_t at, bool mean)
{
    double watts = machine->config.grace_watts;
    int first = machine->config.superchip ? gpu & ~1 : gpu;
    int last = machine->config.superchip ? first + 1 : gpu;
    for (int i = first; i <= last && i < machine->config.gpus; i++)
        watts += mean ? mean_watts(machine, i, at) : state_at(machine, i, at).power_watts;
    return watts;
}

uint64_t energy_millijoules(const struct machine *machine, int gpu, ns_t at)
{
    double base = segment_at(machine, gpu, at)->inputs.energy_base;
    double joules = state_at(machine, gpu, published(machine, at)).energy_joules - base;
    return joules > 0 ? (uint64_t)(joules * 1e3) : 0;
}

int64_t held_ns(const struct machine *machine, int gpu, ns_t at, enum meter meter)
{
    const struct segment *segment = segment_at(machine, gpu, at);
    return state_at(machine, gpu, at).held_ns[meter] - segment->inputs.held_base[meter];
}

/* The share of the last window in which the GPU was busy, 0 to 1. */
double utilization(const struct machine *machine, int gpu, ns_t at)
{
    double busy = state_at(machine, gpu, at).load_seconds
                - state_at(machine, gpu, at - UTILIZATION_WINDOW).load_seconds;
    return fmin(1.0, fmax(0.0, busy / seconds(UTILIZATION_WINDOW)));
}
