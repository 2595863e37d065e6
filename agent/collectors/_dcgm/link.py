"""The way to one host engine: a session while there is one, a new one when it is gone; used in the lane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.collectors._dcgm.gpu import Past, is_uuid, reading_of, stamp_of, still
from agent.collectors._dcgm.library import Code, Refusal, load
from agent.collectors._dcgm.session import GONE, Session
from agent.collectors._dcgm.share import Share
from agent.measure.reading import Moment, Reading, Reason, SourceError

if TYPE_CHECKING:
    from agent.collectors._dcgm.library import Bindings
    from agent.collectors._dcgm.session import Gpu, Plan
    from agent.measure.gpu import GpuReading
    from agent.measure.snapshot import Snapshot

RENEWED = 2
"""A session is opened at most so often in one collection."""
REASONS = {
    Code.CONNECTION_NOT_VALID: Reason.UNREACHABLE,
    Code.TIMEOUT: Reason.TIMED_OUT,
    Code.DRIVER_TIMEOUT: Reason.TIMED_OUT,
    Code.NO_PERMISSION: Reason.DENIED,
    Code.REQUIRES_ROOT: Reason.DENIED,
    Code.VERSION_MISMATCH: Reason.UNSUPPORTED,
    Code.LIBRARY_NOT_FOUND: Reason.UNSUPPORTED,
    Code.NVML_NOT_LOADED: Reason.UNSUPPORTED,
    Code.PAUSED: Reason.RELEASED,
    Code.GPUS_DETACHED: Reason.RELEASED,
}
REMEDIES = {
    Code.CONNECTION_NOT_VALID: "is nv-hostengine running there (systemctl status nvidia-dcgm), and is "
    "this its address? It listens on 127.0.0.1:5555 by default, or on a socket with -d",
    Code.TIMEOUT: "a driver call may hang there: look for Xid 119, 120 or 45 in the kernel log",
    Code.DRIVER_TIMEOUT: "a driver call hangs there: look for Xid 119, 120 or 45 in the kernel log",
    Code.NO_PERMISSION: "run it as root, or leave out what it refuses",
    Code.REQUIRES_ROOT: "run nv-hostengine as root",
    Code.VERSION_MISMATCH: "install the same DCGM here and where the host engine runs",
    Code.LIBRARY_NOT_FOUND: "install the libdcgm of these bindings, or add its folder to LD_LIBRARY_PATH",
    Code.NVML_NOT_LOADED: "install the driver where the host engine runs",
    Code.PAUSED: "resume it when the GPUs are free again (dcgmi modules)",
    Code.GPUS_DETACHED: "attach the GPUs again when they are free",
}


def failure(refusal: Refusal, address: str) -> SourceError:
    """Return what a collection fails with when DCGM said no."""
    reason, remedy = Reason.MALFORMED, "look into the log of nv-hostengine"
    for code, found in REASONS.items():
        if refusal.code == code:
            reason, remedy = found, REMEDIES[code]
    return SourceError(reason, f"{address}: {refusal}; {remedy}")


class Link:
    """Reads every GPU of a host engine."""

    def __init__(self, plan: Plan, folder: str, stale_after_seconds: float) -> None:
        self.plan = plan
        self.session: Session | None = None
        self.bindings: Bindings | None = None
        self._folder = folder
        self._stale_after_seconds = stale_after_seconds
        self._share = Share()
        self.pasts: dict[str, Past] = {}
        """By UUID: what was heard of a GPU outlives its host engine."""

    def read(self, seen: Snapshot | None = None) -> Reading:
        """Read once what others do not tell in `seen`. Raises SourceError."""
        try:
            gpus = self._gpus(seen)
        except Refusal as refusal:
            self.close(gone=refusal.code in GONE)
            raise failure(refusal, self.plan.address.text) from refusal
        now = Moment(time.monotonic(), time.time())
        readings = [each for gpu in gpus if (each := self._reading(gpu, now)) is not None]
        if readings and all(each.trouble.startswith(STILL) for each in readings):
            raise SourceError(
                Reason.MALFORMED,
                f"{self.plan.address.text}: {readings[0].trouble}; restart nv-hostengine",
            )
        return Reading("dcgm", now, gpus=tuple(readings), costs=self._loaded().costs, notes=self._notes(gpus))

    def close(self, *, gone: bool = False) -> None:
        """Remove what is ours from the host engine, unless it is gone, and hang up."""
        session, self.session = self.session, None
        if session is not None:
            session.close(gone=gone)

    def _loaded(self) -> Bindings:
        if self.bindings is None:
            self.bindings = load(self._folder)
        return self.bindings

    def _gpus(self, seen: Snapshot | None) -> list[Gpu]:
        """Read the GPUs, over a new connection where the old one has ended."""
        fresh = self.session is None
        for _ in range(RENEWED):
            if self.session is None:
                self.session, self._share = Session(self._loaded(), self.plan), Share()
            try:
                gpus = self.session.read(self._left(self.session, seen))
            except Refusal as refusal:
                if fresh or refusal.code != Code.CONNECTION_NOT_VALID:
                    raise
                self.close(gone=True)  # it was started anew, perhaps
            else:
                if gpus or not self.session.gpus:
                    return gpus
                self.close()  # others have come or gone
            fresh = True
        return []

    def _left(self, session: Session, seen: Snapshot | None) -> frozenset[int] | None:
        """Return the fields that are left to this host engine; None for all."""
        uuids = [gpu.identity.uuid for gpu in session.gpus if is_uuid(gpu.identity.uuid)]
        return self._share.judge(seen, uuids, time.monotonic())

    def _reading(self, gpu: Gpu, now: Moment) -> GpuReading | None:
        if not is_uuid(gpu.identity.uuid):
            return None
        past = self.pasts.setdefault(gpu.identity.uuid, Past())
        past.heard.hear(gpu.xids)
        stamp = stamp_of(gpu)
        if stamp is None:
            return reading_of(gpu, now, past.heard)
        at = past.stand(stamp, now, self.plan.period_seconds)
        seconds = past.still_seconds(now)
        if seconds > self._stale_after_seconds:
            return still(gpu, at, past.heard, seconds)
        return reading_of(gpu, at, past.heard)

    def _notes(self, gpus: list[Gpu]) -> tuple[str, ...]:
        """Say what is missing for good, and how to have it."""
        session = self.session
        notes = [session.counters_note] if session is not None and session.counters_note else []
        if session is not None and session.unknown:
            numbers = ", ".join(map(str, session.unknown))
            notes.append(
                f"dcgm: this host engine is older than these fields: {numbers}; upgrade DCGM for them"
            )
        notes.extend(
            f"dcgm: GPU {gpu.number} tells no UUID and is left out; is it an injected one?"
            for gpu in gpus
            if not is_uuid(gpu.identity.uuid)
        )
        return tuple(notes)


STILL = "the host engine has measured nothing new"
