"""The members of a rack over real HTTP, and where they are found."""

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.rack_node import RackNode

from agent.collectors import peers
from agent.measure.reading import Moment, Reason, SourceError
from agent.measure.settings import Seconds
from agent.wire.member_settings import FileSd, HttpSd, Member, MembersFrom
from agent.wire.totals import to_json

NOW = Moment(0.0, 0.0)


@pytest.fixture
def serve():
    """Answer every GET with what a function returns."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = answer(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def collect(settings, number=0):
    async def once():
        collector = peers.build(settings)
        try:
            return await collector.sources(None)[number].collect(NOW, None)
        finally:
            await collector.close()

    return asyncio.run(once())


async def discovered(collector):
    await collector.sources(None)[0].collect(NOW, None)
    return [source.name for source in collector.sources(None)[1:]]


def test_a_member_is_read_with_what_brackets_its_clock(serve):
    asked = []
    totals = RackNode("a").totals(10.0)
    url = serve(lambda path: asked.append(path) or to_json(totals))
    reading = collect(peers.Settings(members=(Member(url=f"{url}/"),)))

    assert reading.member.totals == totals
    assert asked == ["/api/v1/node?view=totals"]
    assert reading.source == f"peers/{url}"
    assert reading.member.asked_monotonic_seconds <= reading.member.first_byte_monotonic_seconds


def test_a_refusal_names_the_member(serve):
    url = serve(lambda _: b"<html>")
    with pytest.raises(SourceError, match=f"{url}: not JSON") as refused:
        collect(peers.Settings(members=(Member(url=url),)))

    assert refused.value.reason is Reason.MALFORMED


def test_too_large_an_answer_is_not_read(serve):
    url = serve(lambda _: b" " * 300_000)
    with pytest.raises(SourceError) as refused:
        collect(peers.Settings(members=(Member(url=url),)))

    assert refused.value.reason is Reason.TOO_LARGE


def test_the_deadline_lies_below_the_interval():
    source = peers.build(peers.Settings(interval=Seconds(0.5), members=(Member(url="http://a"),))).sources(
        None
    )[0]

    assert source.timeout_seconds == pytest.approx(0.4)


def test_the_sources_are_the_same_object_until_members_change():
    collector = peers.build(peers.Settings(members=(Member(url="http://a:1"),)))

    assert collector.sources(None) is collector.sources(None)


def test_a_rack_is_read_in_one_burst_and_a_thousand_nodes_in_four():
    rack, hall = (
        peers.build(peers.Settings(members=tuple(Member(url=f"http://n{n}:1") for n in range(count))))
        for count in (18, 1000)
    )

    assert {source.phase_ratio for source in rack.sources(None)} == {0.0}
    assert {source.phase_ratio for source in hall.sources(None)} == {0.0, 0.25, 0.5, 0.75}


def test_a_member_is_read_soon_after_its_node_has_read_its_sources(serve):
    lags = [0.2, 0.69, 0.8, 0.3, 1.1]
    answers = iter([RackNode("a").totals(10.0 + n, lag=lag) for n, lag in enumerate(lags)])
    url = serve(lambda _: to_json(next(answers)))

    async def phases():
        collector = peers.build(peers.Settings(members=(Member(url=url),)))
        [source] = collector.sources(None)
        found = []
        for _ in lags:
            await source.collect(NOW, None)
            found.append(source.phase_ratio)
        await collector.close()
        return found

    assert asyncio.run(phases()) == [0.0, 0.0, 0.5, 0.5, 0.0]


async def test_members_are_found_in_files_of_target_groups(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"targets": ["t1:9744", "t2:9744"], "labels": {"x": "y"}}]))
    (tmp_path / "b.yml").write_text("- targets: [t3:9744]\n  labels: {__scheme__: https}\n")
    found = MembersFrom(file_sd=FileSd((str(tmp_path / "*.json"), str(tmp_path / "b.yml"))))
    collector = peers.build(peers.Settings(members=(Member(url="http://t2:9744"),), members_from=found))

    assert await discovered(collector) == [
        "peers/http://t1:9744",
        "peers/http://t2:9744",
        "peers/https://t3:9744",
    ]


async def test_a_changed_file_changes_the_members_and_an_unreadable_one_does_not(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"targets": ["t1:9744", "t2:9744"]}]')
    collector = peers.build(peers.Settings(members_from=MembersFrom(file_sd=FileSd((str(path),)))))
    first = await discovered(collector)
    kept = collector.sources(None)[2]
    path.write_text('[{"targets": ["t2:9744"]}]')
    second = await discovered(collector)
    path.write_text('[{"targets": "t')
    with pytest.raises(SourceError, match=r"is not JSON .*; what was known before stays"):
        await discovered(collector)
    path.unlink()
    with pytest.raises(SourceError, match=r"cannot be read: .*; what was known before stays"):
        await discovered(collector)

    assert (first, second) == (["peers/http://t1:9744", "peers/http://t2:9744"], ["peers/http://t2:9744"])
    assert collector.sources(None)[1] is kept


@pytest.mark.parametrize(
    "groups",
    ['{"targets": []}', '[{"targets": "t1"}]', "[7]", '[{"targets": ["not a host"]}]', '[{"labels": 1}]'],
)
async def test_what_is_no_list_of_target_groups_is_said(tmp_path, groups):
    (tmp_path / "a.json").write_text(groups)
    found = MembersFrom(file_sd=FileSd((str(tmp_path / "a.json"),)))
    with pytest.raises(SourceError, match="is not a list of target groups"):
        await discovered(peers.build(peers.Settings(members_from=found)))


async def test_members_are_found_by_asking_a_server(serve):
    url = serve(lambda _: b'[{"targets": ["10.0.0.7:9744"]}]')
    collector = peers.build(peers.Settings(members_from=MembersFrom(http_sd=HttpSd(url=url))))
    try:
        assert await discovered(collector) == ["peers/http://10.0.0.7:9744"]
    finally:
        await collector.close()


async def test_doctor_tells_of_each_member(serve):
    url = serve(lambda _: to_json(RackNode("tray-1").totals(5.0)))
    found = await peers.examine(peers.Settings(members=(Member(url=url), Member(url="http://127.0.0.1:9"))))

    assert found[0].text == "node tray-1, rackwatt 0.1.0, 4 GPUs"
    assert found[1].level == "problem"


async def test_a_file_system_that_hangs_holds_one_thread_and_not_the_executor(tmp_path):
    """A FIFO that nobody writes to hangs as a dead NFS server does."""
    os.mkfifo(tmp_path / "members.json")
    files = FileSd(files=(str(tmp_path / "members.json"),))
    collector = peers.build(peers.Settings(members_from=MembersFrom(file_sd=files)))
    source = collector.sources(None)[0]
    before = threading.active_count()
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await source.collect(NOW, None)

    assert threading.active_count() == before + 1
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10.0) == "free"
    (tmp_path / "members.json").write_text("[]")
    assert (await source.collect(NOW, None)).notes == ("no members were found",)
