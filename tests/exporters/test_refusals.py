"""What a receiver's refusal means is told alike by all that send."""

from dataclasses import replace

import pytest
from fakes.incidents import power_capped
from fakes.page_server import Answer, PageServer

from agent.measure.push import PushError
from agent.measure.reading import Moment, Reason
from exporters import alertmanager, otlp, webhook

PUSHERS = {
    "alertmanager": lambda url: alertmanager.build(alertmanager.Settings(urls=(url,))),
    "webhook": lambda url: webhook.build(webhook.Settings(url=f"{url}/hook")),
    "otlp": lambda url: otlp.build(otlp.Settings(endpoint=url)),
}
PATHS = ("/api/v2/alerts", "/hook", "/v1/metrics")


async def refused(name, snapshot, status, headers=None):
    """What a pusher raises when it is answered so."""
    answers = {path: Answer(b"words of its own", status, headers=headers or {}) for path in PATHS}
    async with PageServer(answers) as server:
        pusher = PUSHERS[name](server.url)
        batch = pusher.encode(
            replace(snapshot, incidents=(power_capped(),), rack=None, at=Moment(5.0, 1.8e9))
        )
        try:
            with pytest.raises(PushError) as error:
                await pusher.send(batch)
        finally:
            await pusher.close()
    return error.value


@pytest.mark.parametrize("name", PUSHERS)
@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [
        ("429 Too Many Requests", Reason.UNREACHABLE, True),
        ("503 Service Unavailable", Reason.UNREACHABLE, True),
        ("401 Unauthorized", Reason.DENIED, True),
        ("403 Forbidden", Reason.DENIED, True),
        ("404 Not Found", Reason.UNSUPPORTED, True),
        ("302 Found", Reason.UNSUPPORTED, True),
        ("413 Content Too Large", Reason.TOO_LARGE, False),
        ("422 Unprocessable Content", Reason.MALFORMED, False),
    ],
)
async def test_every_exporter_that_sends_says_the_same_of_the_same_answer(
    snapshot, name, status, reason, again
):
    error = await refused(name, snapshot, status)

    assert (error.reason, error.again) == (reason, again)
    assert f"answered {status}" in error.detail
    assert ("; check " in error.detail) == (reason in {Reason.DENIED, Reason.UNSUPPORTED})


@pytest.mark.parametrize("name", PUSHERS)
async def test_every_exporter_that_sends_leaves_a_receiver_alone_for_as_long_as_it_asks(snapshot, name):
    error = await refused(name, snapshot, "503 Service Unavailable", {"Retry-After": "42"})

    assert error.after_seconds == 42.0


@pytest.mark.parametrize(("name", "again"), [("alertmanager", True), ("webhook", True), ("otlp", False)])
async def test_otlp_forbids_to_send_again_what_a_broken_server_refused(snapshot, name, again):
    assert (await refused(name, snapshot, "500 Internal Server Error")).again is again
