"""The nodes of a large rack in one light process: documents of real size, real encoder, values that advance.

    python -m benchmarks.members PORT COUNT

Every member has a loopback address of its own (127.1.x.y) and one port. `/api/v1/node?view=totals` is what a
rack daemon polls; any other path is a page of text with as many bytes, for peers that read text.
A line for each poll would cost more than the poll: how many there were is told at SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity, NodeIdentity, Origin
from agent.measure.totals import BoundaryTotals, EngineTotals, NodeTotals
from agent.wire.totals import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_HUNDRED = 200
"""Members of one /24 network."""
MODEL = "meta-llama/Llama-2-70b-chat-hf"
GPUS, ENGINES = 4, 2
RATES = {TokenKind.OUTPUT: 30_000.0, TokenKind.PROMPT: 28_000.0, TokenKind.PROMPT_CACHED: 4_000.0}
"""Tokens per second of one engine."""
GPU_WATTS, REST_WATTS = 1_180.0, 410.0
READ_SECONDS_AGO = 0.25
BACKLOG = 64


def address(number: int) -> str:
    """Return the address of a member."""
    return f"127.1.{number // PER_HUNDRED}.{number % PER_HUNDRED + 1}"


def urls(count: int, port: int) -> list[str]:
    """Return where the members answer."""
    return [f"http://{address(number)}:{port}" for number in range(count)]


def totals(number: int, now: Moment) -> NodeTotals:
    """Return what one member says at a moment: a tray of four GPUs and two engines under load."""
    clock = now.monotonic_seconds
    read = clock - READ_SECONDS_AGO
    share = 1.0 + 0.02 * (number % 7 - 3)
    watts = {"gpu": GPU_WATTS * GPUS * share, "module": (GPU_WATTS * GPUS + REST_WATTS) * share}
    return NodeTotals(
        node=NodeIdentity(f"tray-{number:04}", "hall", f"1581425{number // 18:06}", str(number % 18), ""),
        version="0.1.0",
        origin=Origin(
            "boot:7c9e6679-7425-40de-944b-e07fc1f90ae7", f"run:{number:032x}", f"{number:08x}-ledger"
        ),
        sequence=int(clock * 2),
        at=now,
        reckoned_seconds=clock - 0.1,
        activity=Activity.SERVING,
        drained=None,
        tokens={(MODEL, kind): ENGINES * rate * share * read for kind, rate in RATES.items()},
        engines=tuple(_engine(place, share, read) for place in range(ENGINES)),
        boundaries=tuple(
            BoundaryTotals(name, "nvml", at * read, read, None, 1.0, at, frozenset(), frozenset())
            for name, at in watts.items()
        ),
        gpus=tuple(_gpu(number, place, share, clock) for place in range(GPUS)),
    )


def _engine(place: int, share: float, read: float) -> EngineTotals:
    return EngineTotals(
        engine="vllm",
        instance=f"127.0.0.1:{8000 + place}",
        models=(MODEL,),
        up=True,
        activity=Activity.SERVING,
        on_finish=False,
        cadence_seconds=1.0,
        reset_seconds=None,
        running=512.0,
        waiting=3.0,
        live={kind: Point(read, rate * share * read, 0.013) for kind, rate in RATES.items()},
    )


def _gpu(number: int, place: int, share: float, clock: float) -> MemberGpu:
    wave = (int(clock) * 7 + number + place) % 13
    return MemberGpu(
        gpu=place,
        uuid=f"GPU-{number:08x}-0000-4000-8000-{place:012x}",
        up=True,
        power_watts=GPU_WATTS * share + wave,
        power_limit_watts=1_400.0,
        temperature_celsius=61.0 + wave % 5,
        utilization_ratio=0.98,
        clock_hertz=1.92e9 + 1e6 * wave,
        throttled=("sw_power_cap",) if wave == 0 else (),
    )


class _Member(asyncio.Protocol):
    """Answers whatever is asked, one question at a time, on connections that are kept."""

    polls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See which member is asked."""
        self._transport: Any = transport
        third, fourth = transport.get_extra_info("sockname")[0].split(".")[2:]
        self._number = int(third) * PER_HUNDRED + int(fourth) - 1

    def data_received(self, data: bytes) -> None:
        """Answer; a question is smaller than a segment."""
        if not data.endswith(b"\r\n\r\n"):
            return
        _Member.polls += 1
        body = to_json(totals(self._number, Moment(time.monotonic(), time.time())))
        kind = b"application/json"
        if b"view=totals" not in data[:200]:
            kind, body = b"text/plain; version=0.0.4", page(body, self._number)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
        self._transport.write(head + body)


def page(document: bytes, number: int) -> bytes:
    """Return about as many bytes as a document has, as a page of text with 24 series."""
    pad = "x" * max(1, len(document) // 24 - 60)
    return "".join(
        f'rackwatt_member_value{{place="{place}",pad="{pad}"}} {number + place + time.monotonic():.6f}\n'
        for place in range(24)
    ).encode()


async def serve(port: int, numbers: Sequence[int]) -> None:
    """Serve members until SIGTERM, then say how often they were asked."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for number in numbers:
        await loop.create_server(_Member, address(number), port, backlog=BACKLOG)
    print("ready", flush=True)
    await stop.wait()
    print(_Member.polls, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), range(int(sys.argv[2]))))
