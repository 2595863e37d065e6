"""Basic authentication against bcrypt hashes: off the event loop, one at a time, remembered for a while."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BCRYPT_BYTES = 72
"""bcrypt looks at no more of a password, whoever made the hash."""
MOST_WAITING = 16
"""Log-ins that may wait for their turn; beyond, clients are told to come again."""
REMEMBERED = 256
"""Log-ins whose result is known without bcrypt: some of each kind, right and wrong."""
MOST_HEADER_CHARACTERS = 1024


class Verdict(Enum):
    """What is thought of a request's credentials."""

    RIGHT = "right"
    WRONG = "wrong"
    BUSY = "busy"


class Authenticator:
    """Checks the Authorization header of requests."""

    def __init__(self) -> None:
        self._users: Mapping[bytes, bytes] = {}
        self._nobody = b""
        self._pepper = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, "bcrypt")
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    def set_users(self, users: Mapping[str, str]) -> None:
        """Let these users in from now on."""
        self._users = {name.encode(): secret.encode() for name, secret in users.items()}
        if not users:
            return
        import bcrypt  # noqa: PLC0415 - only who lets users in pays for it

        cost = max(int(secret[4:6]) for secret in self._users.values())
        # Nobody's hash: as dear as the dearest, so that time does not tell which users there are.
        self._nobody = bcrypt.gensalt(cost) + b"." * 31

    @property
    def required(self) -> bool:
        """Whether a log-in is needed at all."""
        return bool(self._users)

    async def check(self, header: str) -> Verdict:
        """Judge the value of an Authorization header."""
        login = _login(header)
        if login is None:
            return Verdict.WRONG
        user, password = login
        secret = self._users.get(user, self._nobody)
        key = self._key(user, secret, password)
        for known, verdict in ((self._right, Verdict.RIGHT), (self._wrong, Verdict.WRONG)):
            if key in known:
                known.move_to_end(key)
                return verdict
        if self._waiting >= MOST_WAITING:
            return Verdict.BUSY
        matches = await self._matches(password, secret)
        right = matches and user in self._users
        _remember(self._right if right else self._wrong, key)
        return Verdict.RIGHT if right else Verdict.WRONG

    def close(self) -> None:
        """Let go of the worker; what it is at is not waited for."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _matches(self, password: bytes, secret: bytes) -> bool:
        import bcrypt  # noqa: PLC0415 - as above

        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.get_running_loop().run_in_executor(
                    self._worker, bcrypt.checkpw, password[:BCRYPT_BYTES], secret
                )
        finally:
            self._waiting -= 1

    def _key(self, user: bytes, secret: bytes, password: bytes) -> bytes:
        """Return what a log-in is remembered by: nothing can be read from it, a changed hash changes it."""
        digest = hmac.new(self._pepper, digestmod=hashlib.sha256)
        for part in (user, secret, password):
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()


def _remember(known: OrderedDict[bytes, None], key: bytes) -> None:
    known[key] = None
    while len(known) > REMEMBERED // 2:
        known.popitem(last=False)


def _login(header: str) -> tuple[bytes, bytes] | None:
    """Read name and password from a header; None when it does not give them."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MOST_HEADER_CHARACTERS:
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = pair.partition(b":")
    return (user, password) if colon else None
