"""A host engine of DCGM to the stand-in bindings: GPUs that a test changes, groups by connection, faults."""

import contextlib
import json
import socket
import socketserver
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

OK, BAD_PARAMETER, NO_DATA, NOT_WATCHED, DUPLICATE, LOST = 0, -1, -14, -16, -26, -18
INT_BLANK, DOUBLE_BLANK, DOUBLE_UNSUPPORTED = 0x7FFFFFFFFFFFFFF0, 140737488355328.0, 140737488355330.0
XID = 230
PROFILING = range(1001, 1100)
BLANKED = (100, 150, 155, 156)


@dataclass
class Gpu:
    """One injected GPU."""

    uuid: str
    values: dict = field(default_factory=dict)
    status: int = 1
    xids: list = field(default_factory=list)
    """Pairs of microseconds and Xid."""
    links: list = field(default_factory=list)
    name: str = "NVIDIA GB300"
    pci: str = "00000008:06:00.0"
    serial: str = "1650924000001"

    def fall_off(self):
        """Die with Xid 79, as seen on a real engine: blanks from then on."""
        self.xids.append((micros(), 79))
        self.status = 4
        self.values = {
            number: DOUBLE_BLANK if isinstance(value, float) else INT_BLANK
            for number, value in self.values.items()
        }


def micros():
    return int(time.time() * 1e6)


class RefusedError(Exception):
    pass


class HostEngine:
    """Listens on a port, or on a path; `kill`, `start`, `hang` and `wake` as its operating system would."""

    def __init__(self, gpus, path=None):
        self.gpus = dict(enumerate(gpus))
        self.path = path
        self.port = 0
        self.unknown = set()
        """Fields that it is too old for."""
        self.profiling_code = 0
        """Refusal of watching hardware counters."""
        self.profiled = list(range(1001, 1013))
        """Fields of hardware counters that it supports."""
        self.frozen_us = None
        """Moment after which it measures nothing any more."""
        self.lag_seconds = 0.0
        """What is watched anew has no value for so long."""
        self.awake = threading.Event()
        self.refusals = {}
        """What it refuses, by question, with which code."""
        self.asked = []
        """Every question, oldest first."""
        self.start()

    @property
    def address(self):
        return f"unix://{self.path}" if self.path else f"127.0.0.1:{self.port}"

    def start(self):
        self.groups, self.field_groups, self.watches, self._began = {}, {}, {}, {}
        self._last = 0
        self._open = set()
        self.awake.set()
        engine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                engine.serve(self)

        if self.path:
            Path(self.path).unlink(missing_ok=True)
            self._server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        else:
            socketserver.ThreadingTCPServer.allow_reuse_address = True
            self._server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler)
            self.port = self._server.server_address[1]
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self):
        """Die at once: listening and every connection end, groups are forgotten."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.awake.set()

    def restart(self):
        self.kill()
        self.start()

    @property
    def connections(self):
        return len(self._open)

    @property
    def leftovers(self):
        """Names of groups that are there now."""
        return sorted(
            [name for _, name, _ in self.groups.values()] + [n for _, n, _ in self.field_groups.values()]
        )

    def serve(self, handler):
        connection = handler.connection
        self._open.add(connection)
        try:
            for line in handler.rfile:
                self.awake.wait()
                name, *arguments = json.loads(line)
                self.asked.append((name, *arguments))
                try:
                    if name in self.refusals:
                        raise RefusedError(self.refusals[name])
                    answer = [OK, getattr(self, f"_{name}")(connection, *arguments)]
                except RefusedError as refused:
                    answer = [refused.args[0], None]
                handler.wfile.write(json.dumps(answer).encode() + b"\n")
        except OSError:
            pass  # killed
        finally:
            self._open.discard(connection)
            self._forget(connection)

    def _forget(self, connection):
        """Clean up after a client, as the real one does when a connection ends."""
        for kept in (self.groups, self.field_groups):
            for number in [number for number, (owner, *_) in kept.items() if owner is connection]:
                del kept[number]

    def _next(self):
        self._last += 1
        return self._last

    def _gpus(self, _):
        return list(self.gpus)

    def _attributes(self, _, gpu):
        it = self.gpus[gpu]
        return {
            "uuid": it.uuid,
            "deviceName": it.name,
            "pciBusId": it.pci,
            "serial": it.serial,
            "driverVersion": "580.95.05",
        }

    def _status(self, _, gpu):
        return self.gpus[gpu].status

    def _links(self, _):
        return [(number, gpu.links) for number, gpu in self.gpus.items()]

    def _group(self, connection, name):
        number = self._next()
        self.groups[number] = (connection, name, [])
        return number

    def _add(self, _, group, gpu):
        if self.gpus[gpu].status in {3, 7}:
            raise RefusedError(LOST)
        self.groups[group][2].append(gpu)

    def _remove(self, _, group):
        if self.groups.pop(group, None) is None:
            raise RefusedError(NO_DATA)

    def _fields(self, connection, name, numbers):
        if self.unknown.intersection(numbers):
            raise RefusedError(BAD_PARAMETER)
        if any(known == name for _, known, _ in self.field_groups.values()):
            raise RefusedError(DUPLICATE)
        number = self._next()
        self.field_groups[number] = (connection, name, numbers)
        return number

    def _unfields(self, _, number):
        if self.field_groups.pop(number, None) is None:
            raise RefusedError(NO_DATA)

    def _watch(self, _, group, fields, period_us, keep_seconds, keep_samples):
        numbers = self.field_groups[fields][2]
        if self.profiling_code and any(number in PROFILING for number in numbers):
            raise RefusedError(self.profiling_code)
        self._began[group, fields] = time.monotonic()
        self.watches[group, fields] = (list(numbers), period_us, keep_seconds, keep_samples)

    def _unwatch(self, connection, group, fields):
        """Stop measuring, in whatever watch of this connection a field is: the real one knows one of each."""
        ended, *_ = self.watches.pop((group, fields), ((),))
        for (other, _), (numbers, *_) in self.watches.items():
            if other in self.groups and self.groups[other][0] is connection:
                numbers[:] = [number for number in numbers if number not in ended]

    def _profiling(self, _, group):
        if self.profiling_code in {-33, -36}:
            raise RefusedError(self.profiling_code)
        return [self.profiled[:4], self.profiled[4:]]

    def _latest(self, _, group, fields):
        return [row for gpu in self.groups[group][2] for row in self._rows(gpu, (group, fields))]

    def _since(self, _, group, fields, since_us):
        return [
            (gpu, XID, xid, at, OK)
            for gpu in self.groups[group][2]
            for at, xid in self.gpus[gpu].xids
            if at >= since_us
        ]

    def _rows(self, gpu, watch):
        if watch not in self.watches:
            raise RefusedError(NOT_WATCHED)
        at = micros() if self.frozen_us is None else self.frozen_us
        measured = time.monotonic() - self._began[watch] >= self.lag_seconds
        for number in self.watches[watch][0]:
            if measured and number in self.gpus[gpu].values:
                yield gpu, number, self.gpus[gpu].values[number], at, OK
            else:
                yield gpu, number, None, 0, NO_DATA
