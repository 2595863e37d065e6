/* What this machine lacks, and the little else that callers ask for. */
#include "session.h"

#include <stddef.h>

static const struct { int rc; const char *text; } errors[] = {
    {OK, "Success"},
    {UNINITIALIZED, "Uninitialized"},
    {INVALID_ARGUMENT, "Invalid Argument"},
    {NOT_SUPPORTED, "Not Supported"},
    {NO_PERMISSION, "Insufficient Permissions"},
    {NOT_FOUND, "Not Found"},
    {INSUFFICIENT_SIZE, "Insufficient Size"},
    {DRIVER_NOT_LOADED, "Driver Not Loaded"},
    {TIMEOUT, "Timeout"},
    {GPU_IS_LOST, "GPU is lost"},
    {RESET_REQUIRED, "GPU requires reset"},
    {VERSION_MISMATCH, "Driver/library version mismatch"},
    {OUT_OF_MEMORY, "Insufficient Memory"},
    {ARGUMENT_VERSION_MISMATCH, "Argument version mismatch"},
    {DEPRECATED, "The requested functionality has been deprecated"},
    {GPU_NOT_FOUND, "No GPUs were found"},
};

API const char *nvmlErrorString(int rc)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].rc == rc)
            return errors[i].text;
    return "Unknown Error";
}

#define ABSENT(name, answer)   \
    API int name(void *device) \
    {                          \
        GPU_CALL(device);      \
        return answer;         \
    }
ABSENT(nvmlDeviceGetMigMode, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetMaxMigDeviceCount, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetMigDeviceHandleByIndex, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetGpuInstanceId, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetComputeInstanceId, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetDriverModel, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetDriverModel_v2, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetConfComputeMemSizeInfo, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetRetiredPages, NOT_SUPPORTED)
ABSENT(nvmlDeviceGetDisplayMode, DEPRECATED)
ABSENT(nvmlGpmMigSampleGet, NOT_SUPPORTED)

API int nvmlDeviceGetC2cModeInfoV(void *device, uint32_t *enabled)
{
    GPU_CALL(device);
    REQUIRE(enabled);
    *enabled = call.config->c2c_links > 0;
    return call.config->c2c_links ? OK : NOT_SUPPORTED;
}

static int nvlink_rc(const struct call *call, unsigned link)
{
    if (!call->config->nvlinks)
        return NOT_SUPPORTED;
    return link < (uint64_t)call->config->nvlinks ? OK : INVALID_ARGUMENT;
}

API int nvmlDeviceGetNvLinkState(void *device, unsigned link, unsigned *active)
{
    GPU_CALL(device);
    REQUIRE(active);
    *active = !call.config->nvlinks_unused;
    return nvlink_rc(&call, link);
}

/* Blackwell counts by field values only. */
API int nvmlDeviceGetNvLinkErrorCounter(void *device, unsigned link, unsigned counter,
                                        unsigned long long *count)
{
    GPU_CALL(device);
    REQUIRE(count);
    *count = 0;
    if (counter > 4)
        return INVALID_ARGUMENT;
    return call.config->architecture >= ARCH_BLACKWELL ? NOT_SUPPORTED : nvlink_rc(&call, link);
}
