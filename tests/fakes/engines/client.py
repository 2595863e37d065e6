"""A load client for OpenAI-compatible servers that knows, to the token, what it was given."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp

REQUEST_SECONDS = 120.0
CANCEL_AFTER_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What a load run was given; tokens are sums of `usage`, never of chunks."""

    requests: int
    output_tokens: int
    prompt_tokens: int
    cached_tokens: int
    errors: tuple[str, ...] = ()
    cancelled: int = 0
    cancelled_chunks: int = 0
    """Text chunks that cancelled requests had received; such requests have no usage."""


@dataclass(slots=True)
class LoadClient:
    """N concurrent requests against /v1/completions of one server."""

    url: str
    model: str
    stream_share: float = 0.5
    prompt_length: int = 80
    prefix: str = ""
    """What every prompt begins with, for engines that keep beginnings."""
    vary: bool = True
    cancel_share: float = 0.0
    api_key: str | None = None
    seed: int = 1
    live_chunks: int = 0
    """Text chunks streamed so far, for a lower bound during a run; usage counts at the end."""
    live_output_tokens: int = 0
    """Tokens so far: chunks of streams still open, usage of the ended ones."""
    _finished: list[dict[str, Any]] = field(default_factory=list)
    _errors: list[str] = field(default_factory=list)
    _cancelled: list[int] = field(default_factory=list)
    _enough: bool = False

    def finish(self) -> None:
        """Send no further request; `run` ends with those under way."""
        self._enough = True

    async def run(self, total_requests: int, concurrency: int, max_tokens: int) -> Result:
        """Send all requests, at most `concurrency` at a time; sizes vary from 1 to the maximum."""
        source = random.Random(self.seed)
        bodies = iter([self._body(source, max_tokens) for _ in range(total_requests)])
        self._finished, self._errors, self._cancelled = [], [], []
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        # llama.cpp closes a kept-alive connection without saying so in the response before it.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            await asyncio.gather(*(self._work(session, bodies) for _ in range(concurrency)))
        return self._result()

    def _result(self) -> Result:
        return Result(
            requests=len(self._finished),
            output_tokens=sum(usage["completion_tokens"] for usage in self._finished),
            prompt_tokens=sum(usage["prompt_tokens"] for usage in self._finished),
            cached_tokens=sum(_cached(usage) for usage in self._finished),
            errors=tuple(self._errors),
            cancelled=len(self._cancelled),
            cancelled_chunks=sum(self._cancelled),
        )

    def _body(self, source: random.Random, max_tokens: int) -> dict[str, Any]:
        length = source.randint(1, self.prompt_length) if self.vary else self.prompt_length
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": self.prefix + "".join(source.choices("abcdefghij klmnop", k=length)),
            "max_tokens": source.randint(1, max_tokens) if self.vary else max_tokens,
            "temperature": 0,
        }
        cancelled = source.random() < self.cancel_share
        if cancelled or source.random() < self.stream_share:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body | {"cancelled": cancelled}

    async def _work(self, session: aiohttp.ClientSession, bodies: Any) -> None:
        for body in bodies:
            if self._enough:
                return
            cancelled = body.pop("cancelled")
            try:
                await self._request(session, body, cancelled=cancelled)
            except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
                self._errors.append(repr(error))

    async def _request(
        self, session: aiohttp.ClientSession, body: dict[str, Any], *, cancelled: bool
    ) -> None:
        async with session.post(f"{self.url}/v1/completions", json=body) as response:
            if response.status != 200:
                text = (await response.text())[:200]
                self._errors.append(f"status {response.status}: {text}")
            elif "stream" in body:
                await self._read_stream(response, cancelled=cancelled)
            else:
                usage = (await response.json())["usage"]
                self._finished.append(usage)
                self.live_output_tokens += usage["completion_tokens"]

    async def _read_stream(self, response: aiohttp.ClientResponse, *, cancelled: bool) -> None:
        chunks = 0
        usage: dict[str, Any] | None = None
        async for line in response.content:
            if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                continue
            event = json.loads(line.removeprefix(b"data: "))
            usage = event.get("usage") or usage
            if event.get("choices") and event["choices"][0].get("text"):
                chunks += 1
                self.live_chunks += 1
                self.live_output_tokens += 1
            if cancelled and chunks >= CANCEL_AFTER_CHUNKS:
                self._cancelled.append(chunks)
                response.close()
                return
        if usage is None:
            self._errors.append("a stream ended without usage")
            return
        self._finished.append(usage)
        self.live_output_tokens += usage["completion_tokens"] - chunks


def _cached(usage: dict[str, Any]) -> int:
    details = usage.get("prompt_tokens_details") or {}
    return details.get("cached_tokens") or 0
