"""Looks up host names in threads of its own: a look-up that hangs delays neither the exit nor other names."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_THREADS = 16  # look-ups at once; further names wait for one of them, at most until their own deadline
MAX_WAITING = 4096  # names; redirects could make up ever new ones while look-ups hang


class Address(NamedTuple):
    """Where to connect to, as the system's sockets take it."""

    family: int
    proto: int
    sockaddr: tuple[Any, ...]


Question: TypeAlias = tuple[str, int, socket.AddressFamily]
Answer: TypeAlias = "list[Address] | Exception"


class DaemonResolver:
    """Asks the system in daemon threads.

    The event loop's executor will not do: the interpreter waits for its threads at exit, and a few hung
    look-ups fill it. Here one name never takes more than one thread, however often it is asked for.
    """

    def __init__(self) -> None:
        self._asked: dict[Question, asyncio.Future[Answer]] = {}
        self._waiting: deque[Question] = deque()
        self._at_work = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Address]:
        """Return the addresses of a host. Raises OSError and, for a name that cannot be one, ValueError."""
        question = (host, port, family)
        if is_number(host):
            return list(_addresses(*question, socket.AI_NUMERICHOST))
        future = self._asked.get(question)
        if future is None:
            if len(self._waiting) >= MAX_WAITING:
                raise OSError(f"{MAX_WAITING} other names wait to be looked up")
            future = self._asked[question] = asyncio.get_running_loop().create_future()
            self._waiting.append(question)
            self._start_waiting()
        answer = await asyncio.shield(future)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._at_work < MAX_THREADS:
            question = self._waiting.popleft()
            thread = threading.Thread(
                target=self._look_up, args=(question, loop), name="rackwatt-dns", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # no more threads on this machine
                self._asked.pop(question).set_result(OSError(str(error)))
            else:
                self._at_work += 1

    def _look_up(self, question: Question, loop: asyncio.AbstractEventLoop) -> None:
        """Work in the thread, and bring the answer home."""
        answer: Answer
        try:
            answer = list(_addresses(*question))
        except (OSError, ValueError, OverflowError) as error:  # ValueError: a name that cannot be encoded
            answer = error
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, question, answer)

    def _finish(self, question: Question, answer: Answer) -> None:
        self._at_work -= 1
        self._asked.pop(question).set_result(answer)
        self._start_waiting()


def is_number(host: str) -> bool:
    """Whether a host is an address already: nobody has to be asked, no thread has to wait."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(
    host: str, port: int, family: socket.AddressFamily, flags: int = socket.AI_ADDRCONFIG
) -> Iterator[Address]:
    """Ask the system."""
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    for kind, _, proto, _, sockaddr in found:
        yield Address(int(kind), proto, sockaddr)
