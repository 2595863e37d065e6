"""One answer as its bytes arrive: parsed by llhttp (the parser of Node.js), bounded, no I/O."""

from __future__ import annotations

import httptools

__all__ = ["BodyTooLargeError", "HttpError", "NotHttpError", "Response"]

MAX_HEADER_BYTES = 64 * 1024
"""Status lines, headers, trailers and chunk sizes of one answer: far more than any that is of use here …"""
FRAMING_PER_BODY_BYTE = 8
"""… and so much more for each byte of the body: chunks of one byte take six beside it."""
MAX_HEADERS = 128
OK = 200
FIRST_FINAL_STATUS = 200  # those below only say that the answer is to come


class HttpError(Exception):
    """What can go wrong with one request, besides what the system raises."""


class NotHttpError(HttpError):
    """What came is no answer in HTTP/1."""


class BodyTooLargeError(HttpError):
    """The body is beyond the limit; the text says how it was seen."""


class Response:
    """Takes the bytes of one answer; knows when it is whole, refuses what is no HTTP and what is too much."""

    __slots__ = (
        "_body_limit",
        "_fault",
        "_fed_bytes",
        "_first_piece",
        "_further",
        "_headers",
        "_parser",
        "_phrase",
        "_status",
        "begun",
        "body_bytes",
        "headers",
        "keep_alive",
        "phrase",
        "status",
        "whole",
    )

    def __init__(self, body_limit_bytes: int) -> None:
        self.status = 0
        """0 until the headers of the answer are complete; that of interim answers (1xx) is never shown."""
        self.begun = False
        """Whether a byte of the answer, or of an interim one that is not complete, has come."""
        self.phrase = ""
        self.headers: dict[str, str] = {}
        """Names in lower case; of one that comes twice, the last."""
        self.body_bytes = 0
        """How much of the body has come."""
        self.whole = False
        self.keep_alive = False
        """Whether the connection may be used again; known once the answer is whole."""
        self._body_limit = body_limit_bytes
        self._fed_bytes = 0
        self._first_piece = b""
        self._further = bytearray()
        self._status = 0
        self._phrase = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._fault: Exception | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """What has come of the body; mostly it came in one piece, which is not copied."""
        return self._first_piece + self._further if self._further else self._first_piece

    def feed(self, data: memoryview | bytes) -> None:
        """Take the next bytes. Raises NotHttpError and BodyTooLargeError."""
        parser = self._parser
        if parser is None:
            return
        self._fed_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise NotHttpError("switches to another protocol") from None
        except httptools.HttpParserError as error:
            raise self._fault or NotHttpError(str(error)) from None
        framing_bytes = self._fed_bytes - self.body_bytes
        if framing_bytes > MAX_HEADER_BYTES + FRAMING_PER_BODY_BYTE * self.body_bytes:
            raise NotHttpError(f"{framing_bytes} bytes of headers and chunk sizes, which is too much")

    def end(self) -> None:
        """Note that no byte will follow: a body without a length is whole by that."""
        coding = self.headers.get("transfer-encoding", "").lower()
        if self.status and not coding.endswith("chunked") and "content-length" not in self.headers:
            self.whole = True

    def release(self) -> None:
        """Let go of the parser, which points back here: nobody must wait for the garbage collector."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.whole:
            self._refuse(NotHttpError("more than one answer to one request"))
        self.begun = True

    def on_status(self, phrase: bytes) -> None:
        """Keep the reason phrase."""
        self._phrase = phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those that trail the body are of no use here."""
        if len(self._headers) >= MAX_HEADERS:
            self._refuse(NotHttpError(f"more than {MAX_HEADERS} headers"))
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the headers of the final answer; refuse a body that is announced to be too large."""
        self._status = self._parser.get_status_code() if self._parser is not None else 0
        if self._status < FIRST_FINAL_STATUS:
            return
        self.status, self.phrase = self._status, self._phrase.decode("utf-8", "replace")
        self.headers = {
            name.decode("latin-1").lower(): value.decode("utf-8", "surrogateescape").strip()
            for name, value in self._headers
        }
        declared = self.headers.get("content-length", "")
        if self.status == OK and declared.isdecimal() and int(declared) > self._body_limit:
            self._refuse(BodyTooLargeError(f"announces {declared} bytes"))

    def on_body(self, piece: bytes) -> None:
        """Append to the body, but never more than the limit."""
        if self.body_bytes:
            self._further += piece
        else:
            self._first_piece = piece
        self.body_bytes += len(piece)
        if self.body_bytes > self._body_limit:
            self._refuse(BodyTooLargeError(f"goes on after {self.body_bytes} bytes"))

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it was an interim one."""
        if self._status < FIRST_FINAL_STATUS:
            self.begun = False
            self._phrase = b""
            self._headers = []
            return
        self.whole = True
        self.keep_alive = self._parser is not None and self._parser.should_keep_alive()

    def _refuse(self, fault: Exception) -> None:
        """Stop the parser, which tells of a failed callback only that it failed."""
        self._fault = fault
        raise fault
