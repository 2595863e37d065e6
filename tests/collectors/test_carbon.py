"""A feed of what electricity emits: its form, its token, its age."""

import json
from datetime import UTC, datetime

import pytest
from fakes.page_server import Answer, PageServer

from agent import config
from agent.collectors.carbon import Settings, build
from agent.measure.reading import Moment, Reason, SourceError

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC).timestamp()
MOMENT = Moment(1000.0, NOW)


def answer(**changes):
    plain = {"zone": "DE", "carbonIntensity": 302, "datetime": "2026-03-04T12:00:00.000Z"}
    return json.dumps({**plain, **changes})


@pytest.fixture
def feed(tmp_path):
    """A collector that reads a file."""

    def write(text):
        path = tmp_path / "carbon.json"
        path.write_text(text)
        return build(Settings(file=str(path)))

    return write


async def refusal(collector):
    with pytest.raises(SourceError) as refused:
        await collector.collect(MOMENT, None)
    return refused.value


async def test_a_figure_is_told_with_its_zone_and_moment(feed):
    told = (await feed(answer()).collect(MOMENT, None)).carbon

    assert (told.grams_per_kwh, told.zone, told.at_unix_seconds) == (302.0, "DE", NOW - 1800)


async def test_t15_a_stale_figure_is_no_figure(feed):
    error = await refusal(feed(answer(datetime="2026-03-04T09:00:00Z")))

    assert "its figure is 3.5 h old, and is not told after 10800 s" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        answer(carbonIntensity=None),
        answer(carbonIntensity=True),
        answer(carbonIntensity=-1),
        answer(carbonIntensity=302_000),
        answer(datetime="yesterday"),
        answer(datetime=None),
        "[]",
        "null",
        "nothing",
    ],
)
async def test_what_is_no_answer_of_a_feed_is_refused(feed, text):
    assert (await refusal(feed(text))).reason is Reason.MALFORMED


async def test_a_file_that_is_not_there_is_named(tmp_path):
    error = await refusal(build(Settings(file=str(tmp_path / "none.json"))))

    assert (error.reason, "none.json: cannot be read" in str(error)) == (Reason.DENIED, True)


def test_the_feed_is_at_one_place():
    with pytest.raises(config.ConfigError, match=r"collectors\.carbon: url: set url or file, not both"):
        config.parse("collectors: {carbon: {url: 'http://h/x', file: /x}}", "x")


async def test_without_a_place_it_says_what_to_set():
    assert "set url or file" in str(await refusal(build(Settings())))


async def test_the_token_goes_in_the_header_that_the_feed_wants(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    async with PageServer({"/v3": Answer(answer().encode())}) as server:
        settings = Settings(url=f"{server.url}/v3", token_file=str(tmp_path / "token"))
        collector = build(settings)
        told = (await collector.collect(MOMENT, None)).carbon
        await collector.close()

    assert told.grams_per_kwh == 302.0
    assert server.requests[0].headers["auth-token"] == "secret"
