"""A certificate authority on the spot, made with openssl as the documentation says."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; `ca.pem` in its folder is what others trust."""

    def __init__(self, folder: Path, name: str = "rackwatt test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._count = 0
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        subject = ["-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.ca)]
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", *subject)

    def sign(self, name: str, sans: str, usage: str = "serverAuth") -> Pair:
        """A certificate for `name` with alternative names as openssl writes them: DNS:x,IP:y."""
        self._count += 1
        pair = Pair(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        request = self._folder / f"{self._count}.csr"
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(pair.key), "-out", str(request))
        extensions = self._folder / f"{self._count}.ext"
        extensions.write_text(f"subjectAltName={sans}\nextendedKeyUsage={usage}\n")
        signer = ["-CA", str(self.ca), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        out = ["-extfile", str(extensions), "-in", str(request), "-out", str(pair.cert)]
        _openssl("x509", "-req", *signer, *out)
        return pair


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
