"""A process that passes for a serving engine: listens, answers as it is told, keeps every byte it gets.

Run as a program it is that process, in a session of its own like a service; imported, it starts one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Self

from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port, python_program

PAGE = Path(__file__).parents[1] / "captures" / "vllm-0.32.0-busy.prom"
STATUSES = {
    "guarded": "401 Unauthorized",
    "forbidden": "403 Forbidden",
    "pageless": "404 Not Found",
    "loading": "503 Service Unavailable",
}


class GpuProcess:
    """One such process; `child` has a process below it hold the GPU."""

    def __init__(
        self,
        folder: Path,
        mode: str = "engine",
        *words: str,
        host: str = LOOPBACK,
        port: int | None = None,
        child: bool = False,
        named: bool = True,
        path: str = "/metrics",
        prefix: tuple[str, ...] = (),
        name: str = "",
    ) -> None:
        """Two of one `name` have the same command line but for their ports."""
        self.host, self.port = host, port or free_port()
        self.pid = 0
        """The process that listens."""
        self._record, self._told, self._mode = (
            folder / f"{what}-{name or self.port}" for what in ("record", "told", "mode")
        )
        self._told.unlink(missing_ok=True)
        self._mode.write_text(mode)
        flag = "--port" if named else "--gate"
        files = [str(self._record), str(self._told), str(self._mode)]
        arguments = [*words, flag, str(self.port), "--host", host, "--path", path, *files]
        arguments += ["--child"] if child else []
        program = python_program("fakes.gpu_process", *arguments)
        self._program = Program([*prefix, *program.args], env=program._env)

    def __enter__(self) -> Self:
        self.pid = self._program.start().pid
        ends = time.monotonic() + 15.0
        while not self._told.exists() or not self._told.read_text().endswith("\n"):
            if time.monotonic() > ends or not self._program.running:
                message = f"no fake engine: {self._program.tail()}"
                raise ProcessFailedError(message)
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()

    @property
    def holder(self) -> int:
        """The process that holds the GPU."""
        return int(self._told.read_text())

    @property
    def received(self) -> bytes:
        """Every byte that anybody sent to it."""
        return self._record.read_bytes() if self._record.exists() else b""

    @property
    def asked(self) -> list[str]:
        """The first lines of all requests."""
        lines = self.received.decode("latin-1").split("\r\n")
        return [line for line in lines if line.endswith(" HTTP/1.1")]

    def become(self, mode: str) -> None:
        """Answer in another way from now on."""
        self._mode.write_text(mode)

    def kill(self) -> None:
        """End it as an out-of-memory killer would."""
        self._program.kill()


def main() -> None:
    """Be the process."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", "--gate", type=int)
    parser.add_argument("--host")
    parser.add_argument("--path")
    parser.add_argument("--child", action="store_true")
    parser.add_argument("files", nargs=3)
    options, _ = parser.parse_known_args([word for word in sys.argv[1:] if "trtllm" not in word])
    with contextlib.suppress(PermissionError):  # it leads one already
        os.setsid()
    record, told, mode = (Path(name) for name in options.files)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    server = socket.create_server((options.host, options.port), family=family)
    holder = os.getpid()
    if options.child:
        holder = os.fork()
        if holder == 0:
            server.close()
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.05)
            os._exit(0)
    told.write_text(f"{holder}\n")
    while True:
        client, _ = server.accept()
        threading.Thread(target=_serve, args=(client, record, mode, options.path), daemon=True).start()


def _serve(client: socket.socket, record: Path, mode: Path, path: str) -> None:
    with client, contextlib.suppress(OSError):
        while data := client.recv(65536):
            with record.open("ab") as file:
                file.write(data)
            answer = _answer(data, mode.read_text(), path)
            if answer is not None:
                client.sendall(answer)


def _answer(data: bytes, mode: str, path: str) -> bytes | None:
    if mode == "silent":
        return None
    if mode == "echo":
        return data
    status, body = STATUSES.get(mode, "404 Not Found"), b""
    if mode in {"engine", "empty"} and data.startswith(f"GET {path} ".encode()):
        status, body = "200 OK", PAGE.read_bytes() if mode == "engine" else b""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
