"""Stand-in for DCGM's module of this name: return codes and their exceptions."""

import contextlib
import json
import socket

DCGM_ST_CONNECTION_NOT_VALID = -21
WORDS = {
    -1: "Bad parameter passed to function",
    -6: "Feature not supported",
    -14: "No data is available",
    -21: "The connection to the host engine is not valid any longer",
    -25: "DCGM library could not be found",
    -26: "Duplicate key passed to the function",
    -33: "This request is serviced by a module of DCGM that is not currently loaded",
    -34: "The requested operation could not be completed because the affected resource is in use",
    -36: "Profiling is not supported for this group of GPUs or GPU",
}


class DCGMError(Exception):
    """What every call raises; `value` is DCGM's return code."""

    def __init__(self, value):
        super().__init__(value)
        self.value = value

    def __str__(self):
        return WORDS.get(self.value, f"DCGM Error with code {self.value}")


class Connection:
    """What libdcgm is to the real bindings: asks the host engine, one question after another."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self._file = None
        try:
            self._socket.settimeout(5)
            self._socket.connect(address if isinstance(address, str) else tuple(address))
            self._socket.settimeout(60)
        except OSError:
            self.close()
            raise DCGMError(DCGM_ST_CONNECTION_NOT_VALID) from None
        self._file = self._socket.makefile("rwb")

    def ask(self, name, *arguments):
        try:
            self._file.write(json.dumps([name, *arguments]).encode() + b"\n")
            self._file.flush()
            answer = self._file.readline()
        except (OSError, ValueError):
            answer = b""
        if not answer:
            raise DCGMError(DCGM_ST_CONNECTION_NOT_VALID)
        code, value = json.loads(answer)
        if code:
            raise DCGMError(code)
        return value

    def close(self):
        with contextlib.suppress(OSError):  # killed with something unsent
            if self._file is not None:
                self._file.close()
        self._socket.close()
