"""How OTLP requests go out, and what each answer means."""

import datetime as dt
import email.utils
import gzip
import ssl

import pytest
from fakes.authority import Authority
from fakes.page_server import Answer, PageServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from agent.measure.push import Batch, PushError
from agent.measure.reading import Reason, SourceError
from agent.wire.http_config import TlsConfig
from exporters.otlp import Settings, build, examine

BATCH = Batch(b"packed", 7)
TAKEN = Answer(headers={"Content-Type": "application/x-protobuf"})


def partly(rejected):
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    return Answer(answer.SerializeToString())


async def sent(answer, **settings):
    """Send one batch to a receiver that answers so; what came back, and the request."""
    async with PageServer({"/v1/metrics": answer}) as server:
        pusher = build(Settings(endpoint=server.url, **settings))
        try:
            return await pusher.send(BATCH), server.requests[0]
        finally:
            await pusher.close()


async def refusal(answer, **settings):
    with pytest.raises(SourceError) as caught:
        await sent(answer, **settings)
    return caught.value


async def test_a_request_is_packed_protobuf_with_its_length():
    refused, request = await sent(TAKEN)

    assert refused == 0
    assert request.body == b"packed"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"


async def test_a_connection_is_kept_for_the_next_batch():
    async with PageServer({"/v1/metrics": TAKEN}) as server:
        pusher = build(Settings(endpoint=server.url))
        for _ in range(3):
            await pusher.send(BATCH)
        await pusher.close()

        assert server.connections == 1


async def test_headers_and_secrets_are_sent_and_secrets_read_again_when_they_change(tmp_path):
    key = tmp_path / "key"
    key.write_text("first\n")
    async with PageServer({"/v1/metrics": TAKEN}) as server:
        pusher = build(
            Settings(
                endpoint=server.url, headers={"X-Scope-OrgID": "lab"}, header_files={"api-key": str(key)}
            )
        )
        await pusher.send(BATCH)
        key.write_text("the second\n")
        await pusher.send(BATCH)
        await pusher.close()

        assert [request.headers["api-key"] for request in server.requests] == ["first", "the second"]
        assert server.requests[0].headers["x-scope-orgid"] == "lab"


async def test_a_secret_that_cannot_be_read_names_its_key_and_waits(tmp_path):
    error = await refusal(TAKEN, header_files={"api-key": str(tmp_path / "none")})

    assert error.reason is Reason.DENIED
    assert "header_files.api-key" in error.detail


async def test_a_certificate_of_an_authority_that_is_named_is_trusted(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.sign("collector", "IP:127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    async with PageServer({"/v1/metrics": TAKEN}, tls=context) as server:
        trusting = build(Settings(endpoint=server.url, tls_config=TlsConfig(ca_file=str(authority.ca))))
        doubting = build(Settings(endpoint=server.url))
        refused = await trusting.send(BATCH)
        with pytest.raises(SourceError) as caught:
            await doubting.send(BATCH)
        await trusting.close()
        await doubting.close()

    assert refused == 0
    assert caught.value.reason is Reason.DENIED
    assert "tls_config.ca_file" in caught.value.detail


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content"])
async def test_any_2xx_is_taken(status):
    refused, _ = await sent(Answer(status=status))

    assert refused == 0


@pytest.mark.parametrize(("rejected", "refused"), [(0, 0), (3, 3), (99, 7), (-1, 0)])
async def test_points_that_were_rejected_are_told_but_never_more_than_were_sent(rejected, refused):
    assert (await sent(partly(rejected)))[0] == refused


async def test_an_answer_that_is_no_protobuf_is_no_loss():
    assert (await sent(Answer(b'{"partialSuccess":{}}')))[0] == 0


@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [
        ("504 Gateway Timeout", Reason.UNREACHABLE, True),
        ("500 Internal Server Error", Reason.MALFORMED, False),
        ("501 Not Implemented", Reason.MALFORMED, False),
    ],
)
async def test_of_server_errors_only_those_that_otlp_names_are_sent_again(status, reason, again):
    error = await refusal(Answer(b"words of its own", status))

    assert isinstance(error, PushError)
    assert (error.reason, error.again) == (reason, again)
    assert status in error.detail


async def test_a_refusal_quotes_the_first_words_of_the_receiver():
    error = await refusal(Answer(b"unknown tenant", "400 Bad Request"))

    assert "(unknown tenant)" in error.detail


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("soon", None), ("", None), ("-3", None), ("\u0663", None)]
)
async def test_a_receiver_may_ask_for_time(text, seconds):
    error = await refusal(Answer(status="503 Service Unavailable", headers={"Retry-After": text}))

    assert error.after_seconds == seconds


async def test_a_receiver_may_ask_for_time_by_a_date():
    then = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
    date = email.utils.format_datetime(then, usegmt=True)
    error = await refusal(Answer(status="503 Service Unavailable", headers={"Retry-After": date}))

    assert 55.0 < error.after_seconds <= 60.0


async def test_a_receiver_that_hangs_is_given_up_at_the_deadline():
    error = await refusal(Answer(wait_seconds=5.0), timeout=0.2)

    assert error.reason is Reason.TIMED_OUT


async def test_an_answer_without_end_is_hung_up_on():
    error = await refusal(Answer(b"x" * 100_000))

    assert error.reason is Reason.TOO_LARGE


async def test_the_doctor_sends_nothing_and_says_that_it_is_taken():
    async with PageServer({"/v1/metrics": TAKEN}) as server:
        (finding,) = await examine(Settings(endpoint=server.url))

        assert gzip.decompress(server.requests[0].body) == b""
        assert (finding.level, finding.text) == ("ok", f"{server.url}/v1/metrics takes metrics")


async def test_the_doctor_says_what_to_mend_where_it_is_refused():
    async with PageServer({"/v1/metrics": Answer(status="401 Unauthorized")}) as server:
        (finding,) = await examine(Settings(endpoint=server.url))

    assert (finding.level, finding.remedy) == (
        "problem",
        "check endpoint, authorization and header_files",
    )


async def test_nobody_there_is_unreachable_and_is_no_reason_to_drop():
    pusher = build(Settings(endpoint="http://127.0.0.1:9"))
    with pytest.raises(SourceError) as caught:
        await pusher.send(BATCH)
    await pusher.close()

    assert caught.value.reason is Reason.UNREACHABLE
    assert not isinstance(caught.value, PushError)
