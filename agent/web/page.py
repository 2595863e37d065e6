"""The live page at `/`: static files of the folder beside this one, sent with a strict policy and an etag."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from agent.measure.accept import accepts
from agent.measure.glossary import BOUNDARIES, WORDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
LINKS_MARK = b"<!-- links -->"
"""Where the start page lists the other pages of this daemon."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: a hostile name that became markup would still not run."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, but asked for anew: after an upgrade the page is the new one
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    body: bytes
    packed: bytes
    etag: str


def add_page(app: web.Application, paths: Sequence[str]) -> None:
    """Serve the page at `/` and its files under `/page/`; `paths` are the daemon's other pages."""
    links = "".join(f'<li><a href=".{html.escape(p)}">{html.escape(p)}</a></li>' for p in paths).encode()
    for path in sorted(FOLDER.iterdir()):
        body = path.read_bytes()
        if path.name == "index.html":
            app.router.add_get("/", _answer(_file(body.replace(LINKS_MARK, links), ".html")))
        elif path.suffix in TYPES:
            app.router.add_get(f"/page/{path.name}", _answer(_file(body, path.suffix)))
    app.router.add_get("/page/words.json", _answer(_file(_words(), ".json")))


def _file(body: bytes, suffix: str) -> _File:
    return _File(
        content_type=TYPES[suffix],
        body=body,
        packed=gzip.compress(body, mtime=0),
        etag=hashlib.sha256(body).hexdigest()[:32],
    )


def _words() -> bytes:
    """Encode what each reason, flag, state and boundary means, as the glossary of the metrics says it."""
    words = {kind.__name__: {str(word): text for word, text in told.items()} for kind, told in WORDS.items()}
    return json.dumps({**words, "Boundary": BOUNDARIES}).encode()


def _answer(file: _File) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        zipped = accepts(request.headers.get("Accept-Encoding", ""), "gzip")
        etag = f"{file.etag}-gzip" if zipped else file.etag
        headers = {**HEADERS, "ETag": f'"{etag}"'}
        if any(known.value in {etag, "*"} for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.packed if zipped else file.body, headers=headers)

    return handle
