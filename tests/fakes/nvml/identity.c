/* Who the devices are: names, places, and what never changes while the driver is loaded. */
#include "session.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct place { unsigned domain, bus; };

/* A tray of superchips spreads over PCI domains, other machines over buses. */
static struct place place_of(const struct config *config, int gpu)
{
    if (config->superchip)
        return (struct place){8u + 16u * (unsigned)(gpu / 2) + (unsigned)(gpu % 2), 6};
    return (struct place){0, 1u + 0x11u * (unsigned)gpu};
}

static uint64_t identity_bits(const struct config *config, int gpu, uint64_t salt)
{
    uint64_t x = (uint64_t)config->uuid_seed * 1000003 + (uint64_t)gpu * 101 + salt + 1;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static void uuid_of(const struct config *config, int gpu, char out[48])
{
    uint64_t high = identity_bits(config, gpu, 1), low = identity_bits(config, gpu, 2);
    snprintf(out, 48, "GPU-%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16) & 0xFFFF, (unsigned)high & 0xFFFF, (unsigned)(low >> 48),
             (unsigned long long)(low & 0xFFFFFFFFFFFFull));
}

static void bus_id_of(const struct config *config, int gpu, int digits, char out[32])
{
    struct place place = place_of(config, gpu);
    snprintf(out, 32, "%0*X:%02X:00.0", digits, place.domain, place.bus);
}

/* ---- the system */

API int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    SYSTEM_CALL();
    return copy_text(out, size, call.config->driver);
}

API int nvmlSystemGetNVMLVersion(char *out, unsigned size)
{
    SYSTEM_CALL();
    char text[80];
    const char *driver = call.config->driver;
    snprintf(text, sizeof text, "%s.%s", strcmp(driver, "580") < 0 ? "12" : "13", driver);
    return copy_text(out, size, text);
}

static int cuda_version(int *version)
{
    SYSTEM_CALL();
    REQUIRE(version);
    const char *driver = call.config->driver;
    *version = strcmp(driver, "575") < 0 ? 12080 : strcmp(driver, "580") < 0 ? 12090 : 13000;
    return OK;
}

API int nvmlSystemGetCudaDriverVersion(int *version) { return cuda_version(version); }
API int nvmlSystemGetCudaDriverVersion_v2(int *version) { return cuda_version(version); }

API int nvmlDeviceGetCount_v2(unsigned *count)
{
    SYSTEM_CALL();
    REQUIRE(count);
    *count = (unsigned)call.config->gpus;
    return OK;
}

/* ---- handles */

static int open_device(const char *function, int gpu, void **device)
{
    CALL(call_begin(&call, function, gpu));
    *device = device_handle(gpu);
    return OK;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    REQUIRE(device);
    return open_device(__func__, index < MAX_GPUS ? (int)index : MAX_GPUS, device);
}

static int find_by_uuid(const char *wanted, int *gpu)
{
    CALL(call_begin(&call, "find", NO_GPU));
    char uuid[48];
    for (*gpu = 0; *gpu < call.config->gpus; ++*gpu) {
        uuid_of(call.config, *gpu, uuid);
        if (!strcmp(uuid, wanted))
            return OK;
    }
    return NOT_FOUND;
}

static int find_by_bus_id(const char *wanted, int *gpu)
{
    CALL(call_begin(&call, "find", NO_GPU));
    char bus_id[32], legacy[32];
    for (*gpu = 0; *gpu < call.config->gpus; ++*gpu) {
        bus_id_of(call.config, *gpu, 8, bus_id);
        bus_id_of(call.config, *gpu, 4, legacy);
        if (!strcasecmp(bus_id, wanted) || !strcasecmp(legacy, wanted))
            return OK;
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    int gpu, rc;
    REQUIRE(uuid);
    REQUIRE(device);
    rc = find_by_uuid(uuid, &gpu);
    return rc != OK ? rc : open_device(__func__, gpu, device);
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
    int gpu, rc;
    REQUIRE(bus_id);
    REQUIRE(device);
    rc = find_by_bus_id(bus_id, &gpu);
    return rc != OK ? rc : open_device(__func__, gpu, device);
}

/* ---- a device's names */

API int nvmlDeviceGetName(void *device, char *out, unsigned size)
{
    GPU_CALL(device);
    return copy_text(out, size, call.config->product);
}

API int nvmlDeviceGetUUID(void *device, char *out, unsigned size)
{
    GPU_CALL(device);
    char uuid[48];
    uuid_of(call.config, call.gpu, uuid);
    return copy_text(out, size, uuid);
}

/* The two GPUs of a superchip share one board, hence its serial. */
API int nvmlDeviceGetSerial(void *device, char *out, unsigned size)
{
    GPU_CALL(device);
    char text[32];
    long long first;
    if (sscanf(call.config->serial, "%lld", &first) != 1)
        return NOT_SUPPORTED;
    int board = call.config->superchip ? call.gpu / 2 : call.gpu;
    snprintf(text, sizeof text, "%lld", first + board);
    return copy_text(out, size, text);
}

API int nvmlDeviceGetBoardPartNumber(void *device, char *out, unsigned size)
{
    GPU_CALL(device);
    return copy_text(out, size, call.config->part);
}

API int nvmlDeviceGetVbiosVersion(void *device, char *out, unsigned size)
{
    GPU_CALL(device);
    return copy_text(out, size, call.config->vbios);
}

#define NUMBER_OF(name, expression)             \
    API int name(void *device, unsigned *value) \
    {                                           \
        GPU_CALL(device);                       \
        REQUIRE(value);                         \
        *value = (unsigned)(expression);        \
        return OK;                              \
    }
NUMBER_OF(nvmlDeviceGetIndex, call.gpu)
NUMBER_OF(nvmlDeviceGetMinorNumber, call.gpu)
NUMBER_OF(nvmlDeviceGetArchitecture, call.config->architecture)
NUMBER_OF(nvmlDeviceGetCurrPcieLinkGeneration, call.config->pcie_generation)
NUMBER_OF(nvmlDeviceGetMaxPcieLinkGeneration, call.config->pcie_generation)
NUMBER_OF(nvmlDeviceGetCurrPcieLinkWidth, 16)
NUMBER_OF(nvmlDeviceGetMaxPcieLinkWidth, 16)
NUMBER_OF(nvmlDeviceGetPersistenceMode, 1)
NUMBER_OF(nvmlDeviceGetComputeMode, 0)
NUMBER_OF(nvmlDeviceGetDisplayActive, 0)
NUMBER_OF(nvmlDeviceIsMigDeviceHandle, 0)

API int nvmlDeviceGetModuleId(void *device, unsigned *id)
{
    GPU_CALL(device);
    REQUIRE(id);
    *id = call.config->superchip ? (unsigned)(call.gpu ^ 1) + 1 : (unsigned)call.gpu + 1;
    return OK;
}

API int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{
    GPU_CALL(device);
    REQUIRE(major);
    REQUIRE(minor);
    *major = (int)call.config->capability_major;
    *minor = (int)call.config->capability_minor;
    return OK;
}

API int nvmlDeviceGetPciInfo_v3(void *device, struct pci_info *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    char text[32];
    struct place place = place_of(call.config, call.gpu);
    memset(out, 0, sizeof *out);
    out->domain = place.domain;
    out->bus = place.bus;
    out->device_id = (uint32_t)call.config->pci_device_id;
    bus_id_of(call.config, call.gpu, 4, text);
    copy_text(out->legacy_bus_id, sizeof out->legacy_bus_id, text);
    bus_id_of(call.config, call.gpu, 8, text);
    return copy_text(out->bus_id, sizeof out->bus_id, text);
}

API int nvmlDeviceGetPdi(void *device, struct pdi *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    if (out->version != VERSIONED(struct pdi, 1))
        return ARGUMENT_VERSION_MISMATCH;
    out->value = identity_bits(call.config, call.gpu, 3);
    return OK;
}

/* ---- the rack and the NVLink domain */

API int nvmlDeviceGetPlatformInfo(void *device, struct platform_info *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    const struct config *config = call.config;
    if (out->version != VERSIONED(struct platform_info, 2))
        return ARGUMENT_VERSION_MISMATCH;
    if (!config->has_platform)
        return NOT_SUPPORTED;
    uint64_t guid = identity_bits(config, call.gpu, 4) | 0x8080808080808080ull;
    memset(out->ib_guid, 0, sizeof out->ib_guid);
    memcpy(out->ib_guid, &guid, sizeof guid);
    memset(out->chassis_serial, 0, sizeof out->chassis_serial);
    memcpy(out->chassis_serial, config->chassis_serial, strnlen(config->chassis_serial, 16));
    out->slot = (uint8_t)config->slot;
    out->tray = (uint8_t)config->tray;
    out->host = (uint8_t)config->host;
    out->peer_type = (uint8_t)config->peer_type;
    out->module = (uint8_t)((config->superchip ? call.gpu ^ 1 : call.gpu) + 1);
    return OK;
}

static void cluster_uuid(const struct config *config, uint8_t out[16])
{
    const char *digits = config->cluster_uuid;
    memset(out, 0, 16);
    for (int i = 0; i < 16; i++) {
        unsigned byte = 0;
        while (*digits && !isxdigit((unsigned char)*digits))
            digits++;
        if (sscanf(digits, "%2x", &byte) != 1)
            return;
        digits += 2;
        out[i] = (uint8_t)byte;
    }
}

static struct fabric_v3 fabric_of(const struct call *call)
{
    const int64_t *items = segment_at(call->machine, call->gpu, call->now)->inputs.fabric;
    struct fabric_v3 fabric;
    memset(&fabric, 0, sizeof fabric);
    cluster_uuid(call->config, fabric.uuid);
    fabric.state = (uint8_t)items[FABRIC_STATE];
    fabric.status = (int32_t)items[FABRIC_STATUS];
    fabric.clique = (uint32_t)items[FABRIC_CLIQUE];
    fabric.health_mask = (uint32_t)items[FABRIC_MASK];
    fabric.health_summary = (uint8_t)items[FABRIC_SUMMARY];
    return fabric;
}

API int nvmlDeviceGetGpuFabricInfoV(void *device, uint32_t *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    uint32_t version = *out;
    struct fabric_v3 fabric = fabric_of(&call);
    if (version != VERSIONED(struct fabric_v3, 3) && version != VERSIONED(struct fabric_v2, 2))
        return ARGUMENT_VERSION_MISMATCH;
    if (!call.config->has_fabric)
        return NOT_SUPPORTED;
    bool older = version == VERSIONED(struct fabric_v2, 2);
    fabric.version = version;
    memcpy(out, &fabric, older ? sizeof(struct fabric_v2) : sizeof fabric); /* v3 only appends */
    return OK;
}

API int nvmlDeviceGetGpuFabricInfo(void *device, struct fabric_v1 *out)
{
    GPU_CALL(device);
    REQUIRE(out);
    struct fabric_v3 fabric = fabric_of(&call);
    if (!call.config->has_fabric)
        return NOT_SUPPORTED;
    memset(out, 0, sizeof *out);
    memcpy(out->uuid, fabric.uuid, sizeof out->uuid);
    out->status = fabric.status;
    out->clique = fabric.clique;
    out->state = fabric.state;
    return OK;
}
