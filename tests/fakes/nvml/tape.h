/* A tape, read: the machine it describes, its events, and what each GPU did between them.
 *
 * A machine is immutable once read, so calls use it without a lock; a changed tape makes a new
 * machine. All physics is a pure function of (machine, gpu, time): nothing is ever accumulated
 * per call, hence processes agree and no reload can make a counter drift. */
#ifndef TAPE_H
#define TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_GPUS 128
#define MAX_PROCESSES 64
#define EVERY_GPU (-1)
#define SECOND 1000000000ll
#define PUBLISH_NS (SECOND / 10)

typedef int64_t ns_t;

enum key {
    K_LOAD, K_POWER_LIMIT, K_TEMPERATURE, K_THROTTLE, K_MEMORY_USED, K_LOST, K_RESET_REQUIRED,
    K_RESET_ENERGY, K_ECC, K_REMAP, K_RECOVERY_ACTION, K_FABRIC,
    K_LAST_PHYSICAL = K_FABRIC, /* those above change a GPU's state, those below are looked up */
    K_XID, K_PROCESS, K_PROCESS_IN, K_PROCESS_GONE, K_NVLINK, K_C2C,
    K_HANG, K_SLOW, K_ERROR, K_DENIED, K_DRIVER, K_VERSION_MISMATCH,
    KEYS,
};

enum slowdown { HW_THERMAL, SW_THERMAL, POWER_BRAKE, HW_SLOWDOWN, SLOWDOWNS };
enum fabric_item { FABRIC_STATE, FABRIC_STATUS, FABRIC_CLIQUE, FABRIC_MASK, FABRIC_SUMMARY, FABRIC_ITEMS };
enum ecc_kind { ECC_CORRECTED, ECC_UNCORRECTED, ECC_KINDS };
enum remap_kind { REMAP_CORRECTABLE, REMAP_UNCORRECTABLE, REMAP_PENDING, REMAP_FAILURE, REMAP_KINDS };

/* What the throttle counters measure: for how long a state held. */
enum meter {
    HELD_POWER_CAP, HELD_SW_THERMAL, HELD_HW_THERMAL, HELD_POWER_BRAKE,
    HELD_ANY_THERMAL, HELD_ANY_HARDWARE, HELD_ANY, METERS,
};

struct config {
    char driver[64], product[64], vbios[32], part[64], serial[24], chassis_serial[17];
    char cluster_uuid[40];
    ns_t epoch;
    int64_t gpus, architecture, capability_major, capability_minor, pci_device_id, uuid_seed;
    int64_t superchip, module_power, memory_power, has_energy, has_ecc, has_fabric, has_platform, has_fan;
    int64_t nvlinks, nvlinks_unused, c2c_links, pcie_generation; /* unused: no bridge joins them */
    int64_t memory_bytes, reserved_bytes, bar1_bytes, renewed_ms; /* how often counters are: 0 is 100 */
    int64_t clique, fabric_mask, fabric_summary, slot, tray, host, peer_type, slowdown_celsius;
    double idle_watts, demand_max_watts, limit_watts, limit_min_watts, limit_max_watts;
    double grace_watts, module_limit_watts, module_limit_min_watts;
    double ambient_celsius, celsius_per_watt;
    double sm_idle_mhz, sm_max_mhz, memory_idle_mhz, memory_max_mhz;
    double nvlink_bytes_per_second, pcie_bytes_per_second, c2c_bytes_per_second;
};

struct event {
    ns_t at;
    long line;
    int gpu;
    enum key key;
    int64_t integers[4];
    double number;
    char function[64];
};

/* What events have set on one GPU. */
struct inputs {
    double load, limit_watts, ambient_celsius;
    int64_t memory_used; /* -1: follows the load */
    bool slowdowns[SLOWDOWNS], lost, reset_required;
    int64_t recovery_action, fabric[FABRIC_ITEMS];
    uint64_t ecc[ECC_KINDS], remap[REMAP_KINDS];
    double energy_base;
    int64_t held_base[METERS];
};

/* What has come of it at one instant. */
struct state {
    ns_t at;
    double power_watts, energy_joules, celsius, load_seconds;
    int64_t held_ns[METERS];
};

struct segment {
    struct state start;
    struct inputs inputs;
    double demand_watts, target_watts, slowdown_factor;
    bool held[METERS];
};

struct gpu { struct segment *segments; size_t count; };

struct machine {
    long references;
    struct config config;
    struct event *events; /* in order of time, then of line */
    size_t count, lookups; /* events, and those of them that are not physical */
    const struct event **lookup;
    struct gpu gpus[MAX_GPUS];
};

ns_t monotonic_ns(void);
struct machine *machine_acquire(void); /* the newest; NULL without a tape */
void machine_release(struct machine *machine);

bool config_line(struct config *config, const char *line);
bool event_line(const struct config *config, char *line, struct event *event);

void machine_build(struct machine *machine);
const struct segment *segment_at(const struct machine *machine, int gpu, ns_t at);
struct state state_at(const struct machine *machine, int gpu, ns_t at);
double mean_watts(const struct machine *machine, int gpu, ns_t at);
double module_watts(const struct machine *machine, int gpu, ns_t at, bool mean);
uint64_t energy_millijoules(const struct machine *machine, int gpu, ns_t at);
int64_t held_ns(const struct machine *machine, int gpu, ns_t at, enum meter meter);
double utilization(const struct machine *machine, int gpu, ns_t at);
ns_t published(const struct machine *machine, ns_t at);

#endif
