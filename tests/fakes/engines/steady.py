"""Clients that wait for an answer and ask again, whatever becomes of the engine meanwhile."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

TIMEOUT_SECONDS = 30.0
AGAIN_SECONDS = 0.2


class SteadyClients:
    """So many at once as `count` says; it may be changed while they run."""

    def __init__(self, url: str, count: int, max_tokens: int = 250) -> None:
        """Name the server."""
        self.count = count
        self._answers: list[tuple[float, int]] = []
        """Moment (Unix seconds) and tokens of each."""
        self._url, self._max_tokens = f"{url}/v1/completions", max_tokens
        self._number = itertools.count()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(each,), daemon=True) for each in range(count)
        ]

    def __enter__(self) -> Self:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Ask no more; an answer under way is not waited for."""
        self._over.set()

    def rate(self, since: float, until: float) -> float:
        """Tokens per second that clients were given meanwhile, by the end of each answer."""
        return sum(tokens for at, tokens in self._answers if since <= at < until) / (until - since)

    def _ask(self, place: int) -> None:
        while not self._over.is_set():
            if place >= self.count:
                time.sleep(AGAIN_SECONDS)
                continue
            number = next(self._number)
            body = {
                "model": "tiny-random",
                "prompt": f"{number} times {number}",
                "max_tokens": self._max_tokens // 2 + number * 37 % (self._max_tokens // 2),
                "temperature": 0,
            }
            request = urllib.request.Request(
                self._url, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                    usage = json.loads(answer.read())["usage"]
                self._answers.append((time.time(), usage["completion_tokens"]))
            except (OSError, ValueError, KeyError):
                time.sleep(AGAIN_SECONDS)
