"""DCGM's own Python bindings behind one door: every call that rackwatt makes of them is in this file.

They come with DCGM, lie in no site-packages, and differ between releases; what is used here is the same from
DCGM 3.1 to 4.6. Fields go by number: 4.6 renamed their constants. docs/gpu_sources.md lists the calls.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import time
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.measure.reading import Cost, Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

PLACES = (
    "/usr/share/datacenter-gpu-manager-4/bindings/python3",
    "/usr/local/dcgm/bindings/python3",
)
"""Where the packages of DCGM 4 and of DCGM 2 and 3 put them."""
MODULES = ("pydcgm", "dcgm_structs", "dcgm_field_helpers")
REMEDY = (
    "install DCGM (package datacenter-gpu-manager-4-core, or datacenter-gpu-manager for DCGM 3), or name the "
    "folder that has pydcgm.py as `bindings`"
)
GPU = 1
"""DCGM_FE_GPU: the kind of entity."""
EMPTY_GROUP = 1
"""DCGM_GROUP_EMPTY."""
AUTOMATIC = 1
"""DCGM_OPERATION_MODE_AUTO: an embedded host engine that measures by itself."""
MICRO = 1e6


class Code(IntEnum):
    """Return codes of DCGM that mean something to us."""

    BAD_PARAMETER = -1
    NOT_SUPPORTED = -6
    TIMEOUT = -11
    VERSION_MISMATCH = -12
    UNKNOWN_FIELD = -13
    NO_DATA = -14
    NOT_WATCHED = -16
    NO_PERMISSION = -17
    CONNECTION_NOT_VALID = -21
    LIBRARY_NOT_FOUND = -25
    REQUIRES_ROOT = -29
    MODULE_NOT_LOADED = -33
    IN_USE = -34
    PROFILING_NOT_SUPPORTED = -36
    PAUSED = -54
    NVML_NOT_LOADED = -56
    DRIVER_TIMEOUT = -57
    GPUS_DETACHED = -67


class Refusal(Exception):  # noqa: N818 - it is how DCGM answers, not what is wrong with us
    """DCGM said no; `code` is its own number."""

    def __init__(self, code: int, call: str, text: str) -> None:
        super().__init__(f"{call}: {text} ({code})")
        self.code = code


class Address(NamedTuple):
    """Where a host engine listens; neither: in this process."""

    host: str | None = None
    """With its port: 127.0.0.1:5555."""
    socket: str | None = None

    @property
    def text(self) -> str:
        """As an error or the doctor calls it."""
        return self.host or self.socket or "embedded"


class Sample(NamedTuple):
    """One value of a field; None is a blank."""

    value: float | str | None
    unix_seconds: float
    """On the clock of the host engine's machine."""


class Identity(NamedTuple):
    """Who a GPU is, in DCGM's words."""

    uuid: str
    product: str
    pci: str
    serial: str
    driver: str


Samples = dict[int, dict[int, list[Sample]]]
"""By number of the GPU, then of the field; oldest first."""


def load(folder: str = "", places: Sequence[str] = PLACES) -> Bindings:
    """Import the bindings. Raises SourceError when they are not there, or cannot be used."""
    where = _place(folder, places)
    try:
        modules = _import(where)
    except (ImportError, SyntaxError, AttributeError, OSError) as error:
        text = f"the bindings in {where or 'sys.path'} cannot be imported: {error}"
        raise SourceError(Reason.UNSUPPORTED, f"{text}; {REMEDY}") from error
    return Bindings(modules, str(Path(modules["pydcgm"].__file__ or where).parent))


def _place(folder: str, places: Sequence[str]) -> str:
    """Return the folder to import from; empty when they can be imported already."""
    if folder:
        if not (Path(folder) / "pydcgm.py").is_file():
            raise SourceError(Reason.UNSUPPORTED, f"there is no pydcgm.py in {folder}; {REMEDY}")
        return folder
    if "pydcgm" in sys.modules or importlib.util.find_spec("pydcgm") is not None:
        return ""
    found = next((place for place in places if (Path(place) / "pydcgm.py").is_file()), None)
    if found is None:
        looked = ", ".join(("sys.path", *places))
        text = f"DCGM's Python bindings (pydcgm) are not installed: looked in {looked}; {REMEDY}"
        raise SourceError(Reason.UNSUPPORTED, text)
    return found


def _import(folder: str) -> dict[str, Any]:
    """Import the modules; their folder ends up last in the path, for it has modules of common names."""
    if not folder:
        return {name: importlib.import_module(name) for name in MODULES}
    sys.path.insert(0, folder)
    try:
        modules = {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)  # some of theirs are imported later
    return modules


class Bindings:
    """The imported bindings, and what calling them has cost."""

    def __init__(self, modules: Mapping[str, Any], folder: str) -> None:
        self.folder = folder
        self.modules = modules
        self._error = modules["dcgm_structs"].DCGMError
        self._costs: dict[str, Cost] = {}

    def connect(self, address: Address, timeout_seconds: float) -> Engine:
        """Connect to a host engine, or start one in this process. Raises Refusal."""
        more: dict[str, Any] = {"opMode": AUTOMATIC}
        if address.host is not None:
            more = {"ipAddress": address.host, "timeoutMs": int(timeout_seconds * 1e3)}
        elif address.socket is not None:
            more = {"unixSocketPath": address.socket, "timeoutMs": int(timeout_seconds * 1e3)}
        return Engine(self, self.call("DcgmHandle", self.modules["pydcgm"].DcgmHandle, **more))

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Call and count. Raises Refusal in place of DCGM's own exceptions."""
        began = time.monotonic()
        try:
            return function(*arguments, **more)
        except self._error as error:
            raise Refusal(error.value, name, str(error)) from error
        finally:
            before = self._costs.get(name, Cost(0, 0.0))
            self._costs[name] = Cost(before.calls + 1, before.seconds + time.monotonic() - began)

    @property
    def costs(self) -> dict[str, Cost]:
        """What each call has cost."""
        return dict(self._costs)


class Watch(NamedTuple):
    """Fields of some GPUs that the host engine measures for us: a group and a field group there."""

    group: Any
    fields: Any


class Engine:
    """One connection to a host engine; used by one thread only."""

    def __init__(self, bindings: Bindings, handle: Any) -> None:
        self._bindings = bindings
        self._call = bindings.call
        self._handle = handle
        self._system = handle.GetSystem()

    def gpus(self) -> list[int]:
        """Return the numbers of all GPUs that it knows."""
        return list(self._call("GetAllGpuIds", self._system.discovery.GetAllGpuIds))

    def identity(self, gpu: int) -> Identity:
        """Tell who a GPU is."""
        attributes = self._call("GetGpuAttributes", self._system.discovery.GetGpuAttributes, gpu)
        who = attributes.identifiers
        return Identity(
            *(_text(who, name) for name in ("uuid", "deviceName", "pciBusId", "serial", "driverVersion"))
        )

    def status(self, gpu: int) -> int | None:
        """Tell how a GPU stands, as DCGM's number; None before DCGM 4."""
        ask = getattr(self._system.discovery, "GetGpuStatus", None)
        return None if ask is None else int(self._call("GetGpuStatus", ask, gpu))

    def group(self, name: str, gpus: Collection[int]) -> tuple[Any, list[int]]:
        """Make a group of GPUs; return it and those that could not be put into it."""
        pydcgm = self._bindings.modules["pydcgm"]
        group = self._call("DcgmGroup", pydcgm.DcgmGroup, self._handle, groupName=name, groupType=EMPTY_GROUP)
        refused = []
        for gpu in gpus:
            try:
                self._call("AddGpu", group.AddGpu, gpu)
            except Refusal as refusal:
                if refusal.code == Code.CONNECTION_NOT_VALID:
                    raise
                refused.append(gpu)
        return group, refused

    def watch(
        self, group: Any, name: str, numbers: Collection[int], period_seconds: float, keep_seconds: float
    ) -> Watch:
        """Have fields measured. Raises Refusal, and leaves nothing behind then."""
        pydcgm = self._bindings.modules["pydcgm"]
        fields = self._call("DcgmFieldGroup", pydcgm.DcgmFieldGroup, self._handle, name, list(numbers))
        watch = Watch(group, fields)
        period_microseconds = max(1, round(period_seconds * MICRO))
        try:
            self._call("WatchFields", group.samples.WatchFields, fields, period_microseconds, keep_seconds, 0)
        except Refusal:
            self._delete_fields(watch)
            raise
        return watch

    def knows(self, name: str, number: int) -> bool:
        """Whether the host engine has a field: an older one refuses a group with one that it has not."""
        pydcgm = self._bindings.modules["pydcgm"]
        try:
            fields = self._call("DcgmFieldGroup", pydcgm.DcgmFieldGroup, self._handle, name, [number])
        except Refusal as refusal:
            if refusal.code in {Code.BAD_PARAMETER, Code.UNKNOWN_FIELD}:
                return False
            raise
        self._delete_fields(Watch(None, fields))
        return True

    def profiling(self, group: Any) -> frozenset[int]:
        """Return the numbers of the profiling fields that these GPUs support. Raises Refusal."""
        told = self._call("GetSupportedMetricGroups", group.profiling.GetSupportedMetricGroups)
        groups = (told.metricGroups[place] for place in range(told.numMetricGroups))
        return frozenset(int(each.fieldIds[place]) for each in groups for place in range(each.numFieldIds))

    def latest(self, watch: Watch) -> Samples:
        """Return the newest value of each field."""
        try:
            told = self._call("GetLatest_v2", watch.group.samples.GetLatest_v2, watch.fields)
        except Refusal as refusal:
            return _nothing(refusal)
        return _samples(told)

    def kept(self, watch: Watch) -> Samples:
        """Return every value that the host engine keeps of each field."""
        helpers = self._bindings.modules["dcgm_field_helpers"]
        told = helpers.DcgmFieldValueEntityCollection(self._handle.handle, watch.group.GetId())
        try:
            self._call("GetAllSinceLastCall", told.GetAllSinceLastCall, watch.fields)
        except Refusal as refusal:
            return _nothing(refusal)
        return _samples(told)

    def links(self) -> dict[int, list[int]]:
        """Return the state of each NVLink, by GPU; empty where DCGM cannot tell."""
        try:
            told = self._call("GetNvLinkLinkStatus", self._system.discovery.GetNvLinkLinkStatus)
        except Refusal as refusal:
            if refusal.code == Code.CONNECTION_NOT_VALID:
                raise
            return {}
        gpus = (told.gpus[place] for place in range(told.numGpus))
        return {int(gpu.entityId): [int(state) for state in gpu.linkState] for gpu in gpus}

    def unwatch(self, watch: Watch) -> None:
        """Have fields of ours measured no longer, and remove their group; never raises."""
        with contextlib.suppress(Refusal):
            self._call("UnwatchFields", watch.group.samples.UnwatchFields, watch.fields)
        self._delete_fields(watch)

    def remove(self, group: Any) -> None:
        """Remove a group of GPUs; never raises."""
        with contextlib.suppress(Refusal):
            self._call("DcgmGroup.Delete", group.Delete)

    def close(self) -> None:
        """Hang up, or end the embedded host engine; never raises."""
        with contextlib.suppress(Refusal):
            self._call("Shutdown", self._handle.Shutdown)
        self._handle._handleCreated = False  # noqa: SLF001  (else its destructor hangs up again, and fails aloud)
        known = getattr(type(self._handle), "handles", None)
        if isinstance(known, list) and self._handle in known:
            known.remove(self._handle)  # DCGM 4.5 and later remember every handle for ever

    def _delete_fields(self, watch: Watch) -> None:
        with contextlib.suppress(Refusal):
            self._call("DcgmFieldGroup.Delete", watch.fields.Delete)
        forget(watch)


def forget(watch: Watch) -> None:
    """Have the bindings forget a field group, without a word to the host engine.

    Bindings from 4.5 on keep them for ever, by number. And a destructor would delete it once more: by a
    number that a new host engine may have given again.
    """
    fields = watch.fields
    known = getattr(type(fields), "groups", None)
    if isinstance(known, dict):
        for number in [number for number, group in known.items() if group is fields]:
            del known[number]
    fields._dcgmHandle = None  # noqa: SLF001 - the only way to still its destructor


def _nothing(refusal: Refusal) -> Samples:
    """Take that there is no value yet for no failure."""
    if refusal.code in {Code.NO_DATA, Code.NOT_WATCHED}:
        return {}
    raise refusal


def _samples(told: Any) -> Samples:
    """Return values as ours; a blank is None."""
    return {
        int(gpu): {
            int(number): [_sample(series[place]) for place in range(len(series))]
            for number, series in fields.items()
        }
        for gpu, fields in told.values.get(GPU, {}).items()
    }


def _sample(value: Any) -> Sample:
    return Sample(None if value.isBlank else value.value, (value.ts or 0) / MICRO)


def _text(holder: Any, name: str) -> str:
    """Return an attribute as text: what DCGM does not know, or says in no encoding, is empty."""
    try:
        text = str(getattr(holder, name))
    except UnicodeDecodeError:
        return ""
    return "" if text.startswith("<<<") else text
