"""What only a rack sees, recorded: the same judgement once more, within bounds whatever the rack's size."""

import dataclasses
import gzip

import orjson
import pytest
from fakes.incidents import power_capped
from fakes.racks import away, gpu, member, rack

from agent.boot import boot_id
from agent.diagnose.rack_signs import rack_signs_of
from agent.explain.account import NothingFoundError
from agent.explain.rack_account import rack_account_of
from agent.explain.text import text_of
from agent.flight import Flight
from agent.incident_desk import IncidentDesk
from agent.incident_files import IncidentFiles
from agent.measure.engine import TokenKind
from agent.measure.reading import Moment
from agent.measure.recorder_settings import RecorderSettings
from agent.measure.settings import Bytes
from agent.recorder.lines import FIELDS, LineError, line_of_signs, rack_signs_of_line
from agent.recorder.reading import RecordingError, read

FIVE = tuple(member(f"tray-{number:02}", in_flight=100.0) for number in range(5))
CAPPED = gpu(2, power_limit_watts=900.0, clock_hertz=1.5e9)
SLOW = dataclasses.replace(
    FIVE[4],
    tokens_per_second={TokenKind.OUTPUT: 50_000.0},
    gpus=(gpu(0), gpu(1), CAPPED, gpu(3)),
)
HOT = dataclasses.replace(
    FIVE[4],
    tokens_per_joule={(TokenKind.OUTPUT, "gpu"): 11.0},
    gpus=(gpu(0), gpu(1), gpu(2, power_watts=1390.0, temperature_celsius=82.0), gpu(3)),
)


class LivedRack:
    """A rack that is reckoned twice a second, with the desk and the flight recorder of a daemon."""

    def __init__(self, folder, **settings):
        facts = {"rackwatt": "0.1.0", "node": "head", "rack": "r12"}
        self.flight = Flight(RecorderSettings(**settings), folder, facts)
        self.files = IncidentFiles(folder / "incidents", 1 << 26, 1e9)
        self.desk, self.half_seconds, self.told = IncidentDesk(self.flight), 0, ()

    def live(self, seconds, *members, **changes):
        seen = rack(*members, **changes)
        for _ in range(2 * seconds):
            self.half_seconds += 1
            at = Moment(5000.0 + self.half_seconds / 2, 1_790_000_000.0 + self.half_seconds / 2)
            self.told = self.desk.examined_rack(dataclasses.replace(seen, at=at)).incidents
        return self

    async def recording(self):
        """Of its only incident."""
        (incident,) = self.told
        return read(await self.flight.recording(incident.id))

    async def kept(self):
        """The same from disk, when the daemon has ended."""
        (incident,) = self.told
        await self.flight.close(5.0)
        return read(self.files.read(incident.id))


@pytest.fixture
def lived(tmp_path):
    return LivedRack(tmp_path)


def test_a_moment_of_a_rack_comes_back_as_it_was_to_the_last_bit():
    signs = rack_signs_of(rack(*FIVE[:4], SLOW, away("tray-09")))
    plain = {"rack": rack_signs_of_line(_plain(signs)["rack"], FIELDS)}

    assert plain == {"rack": signs}


def _plain(signs):
    return orjson.loads(line_of_signs(signs))


@pytest.mark.parametrize("wrong", [None, [], [1, 2, 3], [[1.0, 2.0], "r12", [["tray-01", "yes"]]]])
def test_a_moment_of_a_rack_that_is_something_else_is_refused(wrong):
    with pytest.raises(LineError):
        rack_signs_of_line(wrong, FIELDS)


@pytest.mark.parametrize(
    ("wrong", "kind", "cause"),
    [
        (SLOW, "straggler", "power_cap"),
        (HOT, "efficiency", "thermal"),
        (away("tray-04"), "gap", "telemetry_gap"),
    ],
    ids=["straggler", "efficiency", "gap"],
)
async def test_what_the_rack_tells_of_its_own_is_judged_the_same_once_more(lived, wrong, kind, cause):
    lived.live(100, *FIVE).live(90, *FIVE[:4], wrong).live(60, *FIVE)
    account = rack_account_of(await lived.recording())

    assert (account.incident.kind, account.incident.cause, account.same) == (kind, cause, True)
    assert account.again.started == pytest.approx(account.incident.started, abs=1.0)
    assert account.again.ended == pytest.approx(account.incident.ended, abs=1.0)


async def test_a_node_that_is_down_is_judged_the_same_once_more_by_the_rack_s_own_meter(lived):
    watts = [{"rack": 40_000.0}, {"rack": 34_400.0}]
    lived.live(100, *FIVE, power_watts=watts[0]).live(60, *FIVE[:4], away("tray-04"), power_watts=watts[1])
    lived.live(40, *FIVE, power_watts=watts[0])
    account = rack_account_of(await lived.recording())
    text = text_of(account)

    assert (account.incident.cause, account.same) == ("node_down", True)
    assert account.again.lost_tokens == pytest.approx(account.incident.lost_tokens, rel=0.03)
    assert account.incident.lost_tokens > 0.0
    assert "its power is gone with it, says the rack's own meter" in text
    assert "telemetry_gap: 4 of 5 members report, the rack's own meter shows 34.4 kW" in text


async def test_it_is_on_disk_as_soon_as_a_replay_finds_it(lived, tmp_path):
    lived.live(100, *FIVE).live(67, *FIVE[:4], SLOW)
    before = (tmp_path / "incidents").exists()
    lived.live(4, *FIVE[:4], SLOW)
    (incident,) = lived.told
    lived.flight._scribe.flush(5.0)
    account = rack_account_of(read(lived.files.read(incident.id)))

    assert (before, account.same, account.incident.ended) == (False, True, None)


async def test_it_is_on_disk_as_it_stood_when_the_daemon_ended(lived):
    kept = await lived.live(100, *FIVE).live(90, *FIVE[:4], SLOW).kept()

    assert (kept.scope, kept.node, kept.rack, kept.boot_id) == ("rack", "head", "r12", boot_id())
    assert (kept.incident.kind, kept.incident.ended) == ("straggler", None)


async def test_a_straggler_is_explained_with_the_figures_of_its_like(lived):
    recording = await lived.live(100, *FIVE).live(90, *FIVE[:4], SLOW).live(60, *FIVE).recording()
    text = text_of(rack_account_of(recording))

    assert "sure        clear (0.90): one of its GPUs is unlike those of the others" in text
    assert "GPU 2: power limit 900 W, was 1400 W" in text
    assert "it has 100 requests, 100 is the median of the others: it is not asked for less" in text
    assert "thermal: the highest temperature of its GPUs is 61 °C, 61 °C is the median of the others" in text
    assert "clocks_low: the lowest clock of its GPUs is 1500 MHz, 1920 MHz is the median" in text
    assert "power_cap:" not in text
    most = recording.incident.lost_tokens_bounds.upper
    assert most > 0.0
    assert f"lost        not known, at most {most:,.0f} output tokens; joules" in text


async def test_a_member_that_goes_is_explained_with_who_went_with_it(lived):
    others = [away(f"tray-0{number}") for number in (0, 3)]
    lived.live(100, *FIVE).live(20, *others, *FIVE[1:3], away("tray-04"))
    gap = next(each for each in lived.told if each.node == "tray-04")
    text = text_of(rack_account_of(read(await lived.flight.recording(gap.id))))

    assert "tray-04 does not report: unreachable: cannot connect (Connection refused)" in text
    assert "tray-00, tray-03 do not report" in text
    assert "node_down: 2 of 5 members report; without a meter of the rack none is seen to be down" in text


async def test_what_a_member_does_not_tell_is_said_to_be_unknown(lived):
    blind = dataclasses.replace(SLOW, in_flight=None, gpus=(gpu(0, power_limit_watts=None),))
    lived.live(100, *FIVE).live(90, *FIVE[:4], blind)
    account = rack_account_of(await lived.recording())

    assert account.unknown == (
        "the power limit of GPU 0",
        "how many requests it has: its engines do not tell",
    )


async def test_what_members_tell_of_themselves_is_recorded_by_them(lived, tmp_path):
    hot = dataclasses.replace(SLOW, incidents=(power_capped("tray-04"),))
    (told,) = lived.live(100, *FIVE).live(90, *FIVE[:4], hot).told
    await lived.flight.close(5.0)

    assert told.recording == f"http://tray-04:9744/api/v1/incidents/{power_capped('tray-04').id}/recording"
    assert await lived.flight.recording(told.id) is None
    assert not (tmp_path / "incidents").exists()


async def test_where_nothing_is_recorded_no_incident_says_where(tmp_path):
    desk = IncidentDesk()
    for second in range(200):
        at = Moment(5000.0 + second, 1_790_000_000.0 + second)
        told = desk.examined_rack(rack(*FIVE[:4], SLOW, at=at)).incidents

    assert [each.recording for each in told] == [""]


async def test_a_hall_is_recorded_within_the_same_memory_and_still_judged_the_same(tmp_path):
    """Its moments are further apart, so that memory goes back far enough to know how it began."""
    hall = [member(f"tray-{number:03}", in_flight=100.0) for number in range(201)]
    lived = LivedRack(tmp_path, memory=Bytes(1 << 19))
    slow = dataclasses.replace(SLOW, node="tray-007")
    lived.live(10, *hall).live(70, *hall[:7], slow, *hall[8:])
    recording = await lived.recording()
    account = rack_account_of(recording)

    assert lived.flight._rack._ring.size_bytes <= 1 << 19
    assert account.same
    assert recording.steps[-1].at.monotonic_seconds - recording.steps[-2].at.monotonic_seconds == 1.5


async def test_a_recording_of_a_quiet_rack_has_nothing_to_tell(lived):
    recording = await lived.live(100, *FIVE).live(90, *FIVE[:4], SLOW).recording()
    quiet = dataclasses.replace(recording, incident=None, steps=recording.steps[:90])

    with pytest.raises(NothingFoundError):
        rack_account_of(quiet)


async def test_a_damaged_line_of_a_rack_is_named(lived):
    lived.live(100, *FIVE).live(90, *FIVE[:4], SLOW)
    (incident,) = lived.told
    body = gzip.decompress(await lived.flight.recording(incident.id)).replace(
        b'"rack":[', b'"rack":{}, "x":['
    )

    with pytest.raises(RecordingError, match=r"line 2: .*the file is damaged"):
        read(body)
