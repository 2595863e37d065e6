/* The part of NVML's binary interface that the fake exports, in our own words.
 *
 * Sizes are asserted here for LP64; the names are ours where a caller never sees them. */
#ifndef SHIM_ABI_H
#define SHIM_ABI_H

#include <stdint.h>

#define API __attribute__((visibility("default")))
#define VERSIONED(type, number) ((uint32_t)(sizeof(type) | ((uint32_t)(number) << 24)))
#define LAYOUT(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    RESET_REQUIRED = 16,
    VERSION_MISMATCH = 18,
    OUT_OF_MEMORY = 20,
    ARGUMENT_VERSION_MISMATCH = 25,
    DEPRECATED = 26,
    GPU_NOT_FOUND = 28,
};

enum { SCOPE_GPU, SCOPE_MODULE, SCOPE_MEMORY, SCOPE_GPU_BASE, SCOPES };
enum { VALUE_DOUBLE, VALUE_UINT, VALUE_ULONG, VALUE_ULLONG, VALUE_SLLONG, VALUE_INT };
enum { SAMPLES_POWER = 0, SAMPLES_UTILIZATION = 1, SAMPLES_MODULE_POWER = 7 };
enum { ARCH_ADA = 8, ARCH_HOPPER = 9, ARCH_BLACKWELL = 10 };

#define INIT_FLAG_NO_GPUS 1u
#define EVENT_XID 0x8ull
#define NO_INSTANCE 0xFFFFFFFFu

#define REASON_GPU_IDLE 0x01ull
#define REASON_SW_POWER_CAP 0x04ull
#define REASON_HW_SLOWDOWN 0x08ull
#define REASON_SW_THERMAL 0x20ull
#define REASON_HW_THERMAL 0x40ull
#define REASON_POWER_BRAKE 0x80ull

union value {
    double d;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    int32_t i32;
};

struct field_value {
    uint32_t id, scope;
    int64_t timestamp_us, latency_us;
    int32_t type, rc;
    union value value;
};
LAYOUT(struct field_value, 40);

struct sample { uint64_t timestamp_us; union value value; };
LAYOUT(struct sample, 16);

struct pci_info {
    char legacy_bus_id[16];
    uint32_t domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};
LAYOUT(struct pci_info, 68);

struct memory_v1 { uint64_t total, free, used; };
LAYOUT(struct memory_v1, 24);

struct memory_v2 { uint32_t version; uint64_t total, reserved, free, used; };
LAYOUT(struct memory_v2, 40);

struct utilization { uint32_t gpu, memory; };
LAYOUT(struct utilization, 8);

struct violation { uint64_t reference_us, held_ns; };
LAYOUT(struct violation, 16);

struct process_v2 { uint32_t pid; uint64_t used; uint32_t gpu_instance, compute_instance; };
LAYOUT(struct process_v2, 24);

struct process_detail {
    uint32_t pid;
    uint64_t used;
    uint32_t gpu_instance, compute_instance;
    uint64_t used_protected;
};
LAYOUT(struct process_detail, 32);

struct process_list { uint32_t version, mode, count; struct process_detail *items; };
LAYOUT(struct process_list, 24);

struct process_sample { uint32_t pid; uint64_t timestamp_us; uint32_t sm, memory, enc, dec; };
LAYOUT(struct process_sample, 32);

struct event_data { void *device; uint64_t type, data; uint32_t gpu_instance, compute_instance; };
LAYOUT(struct event_data, 32);

struct temperature_v1 { uint32_t version, sensor; int32_t celsius; };
LAYOUT(struct temperature_v1, 12);

struct margin_v1 { uint32_t version; int32_t kelvin; };
LAYOUT(struct margin_v1, 8);

struct platform_info {
    uint32_t version;
    uint8_t ib_guid[16];
    char chassis_serial[16];
    uint8_t slot, tray, host, peer_type, module;
};
LAYOUT(struct platform_info, 44);

struct fabric_v1 { uint8_t uuid[16]; int32_t status; uint32_t clique; uint8_t state; };
LAYOUT(struct fabric_v1, 28);

struct fabric_v2 {
    uint32_t version;
    uint8_t uuid[16];
    int32_t status;
    uint32_t clique;
    uint8_t state;
    uint32_t health_mask;
};
LAYOUT(struct fabric_v2, 36);

struct fabric_v3 {
    uint32_t version;
    uint8_t uuid[16];
    int32_t status;
    uint32_t clique;
    uint8_t state;
    uint32_t health_mask;
    uint8_t health_summary;
};
LAYOUT(struct fabric_v3, 40);

struct sram_ecc { uint32_t version; uint64_t counts[11]; uint32_t threshold_exceeded; };
LAYOUT(struct sram_ecc, 104);

struct pdi { uint32_t version; uint64_t value; };
LAYOUT(struct pdi, 16);

struct gpm_metric { uint32_t id; int32_t rc; double value; const char *name, *unit, *format; };
LAYOUT(struct gpm_metric, 40);

/* As long as a caller's metrics, whose number newer headers have raised: `count` bounds them. */
struct gpm_metrics { uint32_t version, count; void *first, *second; struct gpm_metric metrics[]; };
LAYOUT(struct gpm_metrics, 24);

struct gpm_support { uint32_t version, supported; };
struct remap_histogram { uint32_t max, high, partial, low, none; };
struct bar1_memory { uint64_t total, free, used; };

#endif
