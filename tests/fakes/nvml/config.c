/* The header of a tape: presets and the keys that override them. */
#define _GNU_SOURCE
#include "shim_abi.h"
#include "tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ll << 20)

static const struct config gb300 = {
    .driver = "580.173.02", .product = "NVIDIA GB300", .vbios = "97.10.4A.00.1A",
    .part = "900-2G548-0081-000", .serial = "1650000000000", .chassis_serial = "1820000000001",
    .cluster_uuid = "5ac0ffee00112233445566778899aabb",
    .gpus = 4, .architecture = ARCH_BLACKWELL, .capability_major = 10, .capability_minor = 3,
    .pci_device_id = 0x31C210DE, .superchip = 1, .module_power = 1, .memory_power = 1,
    .has_energy = 1, .has_ecc = 1, .has_fabric = 1, .has_platform = 1, .nvlinks = 18, .c2c_links = 10,
    .pcie_generation = 6,
    .memory_bytes = 284208 * MIB, .reserved_bytes = 947 * MIB, .bar1_bytes = 524288 * MIB,
    .clique = 32766, .fabric_mask = 0x1AA, .fabric_summary = 1, .slot = 25, .tray = 15, .host = 1, .peer_type = 1, .slowdown_celsius = 87,
    .idle_watts = 180, .demand_max_watts = 1400, .limit_watts = 1400,
    .limit_min_watts = 200, .limit_max_watts = 1400,
    .grace_watts = 130, .module_limit_watts = 2900, .module_limit_min_watts = 500,
    .ambient_celsius = 33.5, .celsius_per_watt = 0.025,
    .sm_idle_mhz = 120, .sm_max_mhz = 2070, .memory_idle_mhz = 3996, .memory_max_mhz = 3996,
    .nvlink_bytes_per_second = 2e10, .pcie_bytes_per_second = 1e10, .c2c_bytes_per_second = 5e9,
};

static const struct config h100 = {
    .driver = "580.173.02", .product = "NVIDIA H100 80GB HBM3", .vbios = "96.00.99.00.01",
    .part = "692-2G520-0200-000", .serial = "1650000000000",
    .cluster_uuid = "00000000000000000000000000000000",
    .gpus = 8, .architecture = ARCH_HOPPER, .capability_major = 9, .pci_device_id = 0x233010DE,
    .memory_power = 1, .has_energy = 1, .has_ecc = 1, .has_fabric = 1, .nvlinks = 18,
    .pcie_generation = 5,
    .memory_bytes = 81559 * MIB, .reserved_bytes = 559 * MIB, .bar1_bytes = 131072 * MIB,
    .slowdown_celsius = 87,
    .idle_watts = 70, .demand_max_watts = 700, .limit_watts = 700,
    .limit_min_watts = 200, .limit_max_watts = 700,
    .ambient_celsius = 24, .celsius_per_watt = 0.055,
    .sm_idle_mhz = 345, .sm_max_mhz = 1980, .memory_idle_mhz = 2619, .memory_max_mhz = 2619,
    .nvlink_bytes_per_second = 1e10, .pcie_bytes_per_second = 5e9,
};

/* An eight-GPU baseboard in an x86 server: no chassis, slot or tray, and a fabric of its own node only. */
static const struct config b200 = {
    .driver = "580.105.08", .product = "NVIDIA B200", .vbios = "97.00.FA.00.09",
    .part = "692-2G525-0220-500", .serial = "1650000000001",
    .cluster_uuid = "00000000000000000000000000000000",
    .gpus = 8, .architecture = ARCH_BLACKWELL, .capability_major = 10, .pci_device_id = 0x290110DE,
    .memory_power = 1, .has_energy = 1, .has_ecc = 1, .has_fabric = 1, .has_platform = 1,
    .nvlinks = 18, .pcie_generation = 5, .fabric_mask = 0x80, .fabric_summary = 1,
    .memory_bytes = 183359 * MIB, .reserved_bytes = 728 * MIB, .bar1_bytes = 262144 * MIB,
    .slot = 255, .tray = 255, .host = 1, .peer_type = 1, .slowdown_celsius = 88,
    .idle_watts = 195, .demand_max_watts = 1000, .limit_watts = 1000,
    .limit_min_watts = 200, .limit_max_watts = 1000,
    .ambient_celsius = 33.5, .celsius_per_watt = 0.028,
    .sm_idle_mhz = 120, .sm_max_mhz = 1965, .memory_idle_mhz = 3996, .memory_max_mhz = 3996,
    .nvlink_bytes_per_second = 2e10, .pcie_bytes_per_second = 5e9,
};

/* A card without a bridge: the NVLinks of its chip are there, and join nothing. */
static const struct config h100_pcie = {
    .driver = "580.105.08", .product = "NVIDIA H100 PCIe", .vbios = "96.00.99.00.02",
    .part = "900-21010-0000-000", .serial = "1650000000101",
    .gpus = 4, .architecture = ARCH_HOPPER, .capability_major = 9, .pci_device_id = 0x233110DE,
    .memory_power = 1, .has_energy = 1, .has_ecc = 1, .nvlinks = 12, .nvlinks_unused = 1,
    .pcie_generation = 5,
    .memory_bytes = 81559 * MIB, .reserved_bytes = 559 * MIB, .bar1_bytes = 131072 * MIB,
    .slowdown_celsius = 87,
    .idle_watts = 48, .demand_max_watts = 350, .limit_watts = 350,
    .limit_min_watts = 200, .limit_max_watts = 350,
    .ambient_celsius = 28, .celsius_per_watt = 0.12,
    .sm_idle_mhz = 345, .sm_max_mhz = 1755, .memory_idle_mhz = 1593, .memory_max_mhz = 1593,
    .pcie_bytes_per_second = 5e9,
};

/* A gaming card: no serial number, no ECC, no meter or thermometer of its memory, no links. */
static const struct config geforce = {
    .driver = "580.105.08", .product = "NVIDIA GeForce RTX 4090", .vbios = "95.02.3C.00.01",
    .gpus = 1, .architecture = ARCH_ADA, .capability_major = 8, .capability_minor = 9,
    .pci_device_id = 0x268410DE, .has_energy = 1, .has_fan = 1, .pcie_generation = 4,
    .memory_bytes = 24564 * MIB, .reserved_bytes = 450 * MIB, .bar1_bytes = 32768 * MIB,
    .slowdown_celsius = 90,
    .idle_watts = 12, .demand_max_watts = 450, .limit_watts = 450,
    .limit_min_watts = 150, .limit_max_watts = 600,
    .ambient_celsius = 30, .celsius_per_watt = 0.09,
    .sm_idle_mhz = 210, .sm_max_mhz = 3120, .memory_idle_mhz = 405, .memory_max_mhz = 10501,
    .pcie_bytes_per_second = 3e9,
};

static const struct config workstation = {
    .driver = "580.173.02", .product = "NVIDIA RTX 6000 Ada Generation",
    .vbios = "95.02.40.00.01", .part = "900-5G133-0300-000",
    .gpus = 1, .architecture = ARCH_ADA, .capability_major = 8, .capability_minor = 9,
    .pci_device_id = 0x26B110DE, .has_energy = 1, .has_fan = 1, .pcie_generation = 4,
    .memory_bytes = 49140 * MIB, .reserved_bytes = 480 * MIB, .bar1_bytes = 65536 * MIB,
    .slowdown_celsius = 89,
    .idle_watts = 25, .demand_max_watts = 300, .limit_watts = 300,
    .limit_min_watts = 100, .limit_max_watts = 300,
    .ambient_celsius = 28, .celsius_per_watt = 0.15,
    .sm_idle_mhz = 210, .sm_max_mhz = 3105, .memory_idle_mhz = 405, .memory_max_mhz = 10001,
    .pcie_bytes_per_second = 3e9,
};

static const struct { const char *name; const struct config *config; } presets[] = {
    {"gb300", &gb300}, {"h100", &h100}, {"workstation", &workstation},
    {"b200", &b200}, {"h100_pcie", &h100_pcie}, {"geforce", &geforce},
};

#define TEXT(key) {#key, 't', offsetof(struct config, key), sizeof(((struct config *)0)->key)}
#define INTEGER(key) {#key, 'i', offsetof(struct config, key), sizeof(int64_t)}
#define NUMBER(key) {#key, 'd', offsetof(struct config, key), sizeof(double)}

static const struct { const char *name; char type; size_t offset, size; } keys[] = {
    TEXT(driver), TEXT(product), TEXT(vbios), TEXT(part), TEXT(serial), TEXT(chassis_serial),
    TEXT(cluster_uuid), {"epoch", 'n', offsetof(struct config, epoch), sizeof(ns_t)},
    INTEGER(gpus), INTEGER(architecture), INTEGER(capability_major), INTEGER(capability_minor),
    INTEGER(pci_device_id), INTEGER(uuid_seed), INTEGER(superchip), INTEGER(module_power),
    INTEGER(memory_power), INTEGER(has_energy), INTEGER(has_ecc), INTEGER(has_fabric), INTEGER(has_platform),
    INTEGER(has_fan), INTEGER(nvlinks), INTEGER(nvlinks_unused), INTEGER(c2c_links), INTEGER(pcie_generation),
    INTEGER(memory_bytes), INTEGER(reserved_bytes), INTEGER(bar1_bytes), INTEGER(renewed_ms), INTEGER(clique),
    INTEGER(fabric_mask), INTEGER(fabric_summary),
    INTEGER(slot), INTEGER(tray), INTEGER(host), INTEGER(peer_type), INTEGER(slowdown_celsius),
    NUMBER(idle_watts), NUMBER(demand_max_watts), NUMBER(limit_watts), NUMBER(limit_min_watts),
    NUMBER(limit_max_watts), NUMBER(grace_watts), NUMBER(module_limit_watts),
    NUMBER(module_limit_min_watts), NUMBER(ambient_celsius), NUMBER(celsius_per_watt),
    NUMBER(sm_idle_mhz), NUMBER(sm_max_mhz), NUMBER(memory_idle_mhz), NUMBER(memory_max_mhz),
    NUMBER(nvlink_bytes_per_second), NUMBER(pcie_bytes_per_second), NUMBER(c2c_bytes_per_second),
};

static bool choose_preset(struct config *config, const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].name, name)) {
            ns_t epoch = config->epoch;
            *config = *presets[i].config;
            config->epoch = epoch;
            return true;
        }
    return false;
}

static bool store(void *field, char type, size_t size, const char *text)
{
    char *end;
    if (type == 't') {
        if (strlen(text) >= size)
            return false;
        memset(field, 0, size);
        memcpy(field, text, strlen(text));
        return true;
    }
    if (type == 'i')
        *(int64_t *)field = strtoll(text, &end, 0);
    else if (type == 'n')
        *(ns_t *)field = llround(strtod(text, &end) * (double)SECOND);
    else
        *(double *)field = strtod(text, &end);
    return end != text && *end == '\0';
}

/* Takes one `key=value` line; false when it is not a valid one. */
bool config_line(struct config *config, const char *line)
{
    const char *equals = strchr(line, '=');
    size_t length = equals ? (size_t)(equals - line) : 0;
    if (length == strlen("preset") && !strncmp(line, "preset", length))
        return choose_preset(config, equals + 1);
    for (size_t i = 0; length && i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].name) == length && !strncmp(line, keys[i].name, length)) {
            struct config changed = *config;
            char *field = (char *)&changed + keys[i].offset;
            bool good = store(field, keys[i].type, keys[i].size, equals + 1);
            if (!good || changed.gpus < 0 || changed.gpus > MAX_GPUS)
                return false;
            *config = changed;
            return true;
        }
    return false;
}
