"""Stand-in for DCGM's Python bindings, as far as agent/collectors/_dcgm/library.py calls them.

Names and orders of arguments are those of the real ones (tests/fakes/dcgm/compare.py compares them where DCGM
is installed); they talk to tests/fakes/dcgm/host_engine.py. They keep two habits of DCGM 4.5 and later: every
handle is remembered in `DcgmHandle.handles`, and field groups are remembered by a number that a new host
engine gives again.
"""

import contextlib
from ctypes import c_void_p
from types import SimpleNamespace

from dcgm_field_helpers import DcgmFieldValueEntityCollection
from dcgm_structs import Connection, DCGMError


class DcgmException(Exception):
    """Raised for what the bindings refuse themselves."""


class DcgmHandle:
    handles = []  # noqa: RUF012

    def __init__(
        self,
        handle=None,
        ipAddress=None,
        opMode=1,
        persistAfterDisconnect=False,
        unixSocketPath=None,
        timeoutMs=0,
        decoratorHandle=None,
    ):
        self._handleCreated = False
        if ipAddress is None and unixSocketPath is None:
            raise DCGMError(-6)
        host, _, port = (ipAddress or "").rpartition(":")
        self.handle = Connection(unixSocketPath or (host, int(port)))
        self._handleCreated = True
        DcgmHandle.handles.append(self)

    def GetSystem(self):
        return DcgmSystem(self)

    def Shutdown(self):
        if self._handleCreated:
            self.handle.close()
            self._handleCreated = False
            self.handle = None


class DcgmSystem:
    def __init__(self, dcgmHandle):
        self.discovery = DcgmSystemDiscovery(dcgmHandle)


class DcgmSystemDiscovery:
    def __init__(self, dcgmHandle):
        self._dcgmHandle = dcgmHandle

    def GetAllGpuIds(self):
        return self._dcgmHandle.handle.ask("gpus")

    def GetGpuAttributes(self, gpuId):
        names = ("deviceName", "pciBusId", "serial", "uuid", "driverVersion")
        told = self._dcgmHandle.handle.ask("attributes", gpuId)
        return SimpleNamespace(identifiers=SimpleNamespace(**{name: told[name] for name in names}))

    def GetGpuStatus(self, gpuId):
        return self._dcgmHandle.handle.ask("status", gpuId)

    def GetNvLinkLinkStatus(self):
        gpus = [
            SimpleNamespace(entityId=gpu, linkState=states)
            for gpu, states in self._dcgmHandle.handle.ask("links")
        ]
        return SimpleNamespace(numGpus=len(gpus), gpus=gpus)


class DcgmGroup:
    def __init__(self, dcgmHandle, groupId=None, groupName=None, groupType=1):
        self._dcgmHandle = dcgmHandle
        self._groupId = dcgmHandle.handle.ask("group", groupName)
        self.samples = DcgmGroupSamples(dcgmHandle, self._groupId, self)
        self.profiling = DcgmGroupProfiling(dcgmHandle, self._groupId, self)

    def AddGpu(self, gpuId):
        self._dcgmHandle.handle.ask("add", self._groupId, gpuId)

    def GetId(self):
        return self._groupId

    def Delete(self):
        self.samples = self.profiling = None
        self._dcgmHandle.handle.ask("remove", self._groupId)


class DcgmGroupSamples:
    def __init__(self, dcgmHandle, groupId, dcgmGroup):
        self._dcgmHandle, self._groupId = dcgmHandle, groupId

    def WatchFields(self, fieldGroup, updateFreq, maxKeepAge, maxKeepSamples):
        number = fieldGroup.fieldGroupId.value
        self._dcgmHandle.handle.ask("watch", self._groupId, number, updateFreq, maxKeepAge, maxKeepSamples)

    def UnwatchFields(self, fieldGroup):
        self._dcgmHandle.handle.ask("unwatch", self._groupId, fieldGroup.fieldGroupId.value)

    def GetLatest_v2(self, fieldGroup):
        told = DcgmFieldValueEntityCollection(self._dcgmHandle.handle, self._groupId)
        told.GetLatestValues(fieldGroup)
        return told


class DcgmGroupProfiling:
    def __init__(self, dcgmHandle, groupId, dcgmGroup):
        self._dcgmHandle, self._groupId = dcgmHandle, groupId

    def GetSupportedMetricGroups(self):
        groups = [
            SimpleNamespace(fieldIds=numbers, numFieldIds=len(numbers))
            for numbers in self._dcgmHandle.handle.ask("profiling", self._groupId)
        ]
        return SimpleNamespace(metricGroups=groups, numMetricGroups=len(groups))


class DcgmFieldGroup:
    groups = {}  # noqa: RUF012

    def __init__(self, dcgmHandle, name="", fieldIds=None, fieldGroupId=None):
        self._dcgmHandle, self.fieldGroupId = dcgmHandle, None
        self.fieldGroupId = c_void_p(dcgmHandle.handle.ask("fields", name, fieldIds))
        self.groups.setdefault(self.fieldGroupId.value, self)

    def Delete(self):
        if self.groups.pop(self.fieldGroupId.value, None) is not None:
            self._dcgmHandle.handle.ask("unfields", self.fieldGroupId.value)
        self.fieldGroupId = self._dcgmHandle = None

    def __del__(self):
        if self._dcgmHandle is not None:
            with contextlib.suppress(AttributeError, DCGMError):  # never made, or gone already
                self.Delete()
