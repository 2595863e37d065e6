"""Where a server that nobody named has its page: in which order paths are asked for."""

from __future__ import annotations

import pytest

from agent.measure.engine_table import EngineTable
from agent.measure.reading import Reason, SourceError
from agent.wire.engine_paths import find, is_destructive, must_be_found
from agent.wire.http import Fetched


def table(engine: str, path: str, **more) -> EngineTable:
    facts = {"port": 1, "flag": None, "remedy": f"mend {engine}", "tokens": {}} | more
    return EngineTable(engine=engine, detect=(f"{engine}_",), path=path, **facts)


PLAIN = table("plain", "/metrics")
TOUCHY = table("touchy", "/safe/metrics", destructive_path="/metrics", owner="them", silent_when_fresh=True)
ELSEWHERE = table("elsewhere", "/v1/metrics")
TABLES = (PLAIN, TOUCHY, ELSEWHERE)
THEIRS = b'{"data":[{"id":"m","owned_by":"them"}]}'


class Server:
    """Answers by path, and what was asked for."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = {f"/{path.replace('__', '/')}": body for path, body in answers.items()}
        self.asked: list[str] = []

    async def get(self, url: str) -> Fetched:
        path = url.removeprefix("http://h")
        self.asked.append(path)
        if path not in self.answers:
            raise SourceError(Reason.UNSUPPORTED, f"{url} answered 404")
        return Fetched(self.answers[path], {}, 0.0, 0.0, 0.0)


async def found(server: Server, url: str = "http://h") -> str:
    return (await find(url, TABLES, server.get))[0]


@pytest.mark.parametrize(
    ("answers", "page", "asked"),
    [
        ({"safe__metrics": b"touchy_x 1\n"}, "/safe/metrics", ["/safe/metrics"]),
        ({"safe__metrics": b"", "v1__models": THEIRS}, "/safe/metrics", ["/safe/metrics", "/v1/models"]),
        ({"metrics": b"plain_x 1\n"}, "/metrics", ["/safe/metrics", "/v1/models", "/metrics"]),
        ({"metrics": b"plain_x 1\n", "safe__metrics": b"<html>\n"}, "/metrics", None),
        ({"metrics": b"plain_x 1\n", "safe__metrics": b"other_x 1\n"}, "/metrics", None),
        ({"metrics": b"plain_x 1\n", "v1__models": b"nonsense"}, "/metrics", None),
        ({"metrics": b"plain_x 1\n", "v1__models": b'{"data":[{"owned_by":"us"}]}'}, "/metrics", None),
        ({"v1__metrics": b"elsewhere_x 1\n"}, "/v1/metrics", None),
    ],
)
async def test_page_is_found_and_what_destroys_is_asked_for_last(answers, page, asked):
    server = Server(**answers)

    assert await found(server) == f"http://h{page}"
    assert asked in (None, server.asked)


@pytest.mark.parametrize("safe", [{}, {"safe__metrics": b"other_x 1\n"}])
async def test_server_of_the_touchy_engine_whose_page_is_off_is_refused_with_its_remedy(safe):
    server = Server(metrics=b"[1]", v1__models=THEIRS, **safe)

    with pytest.raises(SourceError, match="is of touchy, whose /safe/metrics is not there; mend touchy"):
        await found(server)
    assert "/metrics" not in server.asked


async def test_server_without_any_page_fails_as_the_usual_path_does():
    with pytest.raises(SourceError, match="http://h/metrics answered 404"):
        await found(Server())


async def test_path_that_was_given_is_the_last_that_is_tried():
    server = Server(v1__metrics=b"elsewhere_x 1\n")

    with pytest.raises(SourceError, match="http://h/metrics answered 404"):
        await found(server, "http://h/metrics")


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("http://h", True),
        ("http://h/metrics", True),
        ("http://h/gpu0/metrics", True),
        ("http://h/safe/metrics", False),
        ("http://h/other", False),
    ],
)
def test_page_must_be_found_where_its_path_may_be_the_destructive_one(url, needed):
    assert must_be_found(url, TABLES) is needed


def test_engine_without_such_a_page_has_no_destructive_path():
    assert not is_destructive("http://h/metrics", PLAIN)
