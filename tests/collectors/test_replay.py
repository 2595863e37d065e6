"""A recording read as if it happened now: a node of it looks as it did, and tells the same incident."""

import gzip
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fakes.replayed_node import EPOCH_SECONDS, WALL_SECONDS

from agent.collectors.replay import Settings, build, examine
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import NodeSigns, signs_of
from agent.measure.engine import TokenKind
from agent.measure.finding import Level
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Outcome, Reason, SourceError
from agent.recorder.lines import FIELDS, line_of_signs
from agent.recorder.reading import read

CAPTURE = Path(__file__).resolve().parents[1] / "captures" / "incidents" / "twin_power_cap.jsonl.gz"


def moment(second):
    return Moment(EPOCH_SECONDS + second, WALL_SECONDS + second)


class Replaying:
    """A node whose only collector is `replay`, in virtual time."""

    def __init__(self, file):
        self.collector = build(Settings(file=str(file)))
        self.reckoner = NodeReckoner("node-a", "rack-a", 10.0, "boot", "run")
        self.second, self.memory, self.snapshot, self.outcomes = 0, Memory(), None, {}

    async def run(self, seconds):
        for _ in range(seconds):
            self.second += 1
            sources = self.collector.sources(self.snapshot)
            self.reckoner.expect([source.name for source in sources])
            for source in sources:
                await self._collect(source)
            self.snapshot = self.reckoner.snapshot(moment(self.second), tuple(self.outcomes.values()), {})
            self.memory = diagnosed(self.memory, signs_of(self.snapshot))
        return self

    async def _collect(self, source):
        reason, now = None, moment(self.second)
        try:
            self.reckoner.take(await source.collect(now, self.snapshot), source.interval_seconds)
        except SourceError as error:
            reason = error.reason
            self.reckoner.miss(source.name)
        success = None if reason else now.unix_seconds
        self.outcomes[source.name] = Outcome(source.name, reason is None, reason, "", 0.0, success, {})


async def refusal(file):
    source, *_ = build(Settings(file=str(file))).sources(None)
    with pytest.raises(SourceError) as error:
        await source.collect(moment(0), None)
    return error.value


async def test_a_node_looks_as_it_did_second_for_second():
    recording = read(CAPTURE.read_bytes())
    moments = [step for step in recording.steps if hasattr(step, "units")]
    node = await Replaying(CAPTURE).run(60)
    then = moments[59]
    now = {gpu.gpu: gpu.reading for gpu in node.snapshot.gpus}

    assert len(now) == len(then.gpus) == 4
    for gpu in then.gpus:
        reading = now[gpu.gpu]
        assert reading.clock_hertz["sm"] == gpu.clock_hertz
        assert reading.power["gpu"].average_watts == gpu.power_watts
    (engine,) = node.snapshot.engines
    assert engine.reading.demand.running == then.units[0].engines[0].running
    made = then.units[0].engines[0].output.value - moments[49].units[0].engines[0].output.value
    assert node.snapshot.tokens_per_second[TokenKind.OUTPUT] == pytest.approx(made / 10.0, rel=0.1)


async def test_it_tells_the_incident_that_was_recorded():
    told = read(CAPTURE.read_bytes()).incident
    node = await Replaying(CAPTURE).run(222)
    (incident,) = [each for each in node.memory.incidents if each.severity != "info"]

    assert (incident.kind, incident.cause) == (told.kind, told.cause) == ("drop", "power_cap")
    assert incident.ended - incident.started == pytest.approx(told.ended - told.started, abs=5.0)


@pytest.fixture
def crashed(tmp_path):
    """The recording of a tray whose engine is gone from the hundredth second on."""
    head, *_ = gzip.decompress(CAPTURE.read_bytes()).splitlines()
    down = []  # in rows of now: the capture is older
    for step in read(CAPTURE.read_bytes()).steps:
        if not isinstance(step, NodeSigns):
            continue
        (unit,) = step.units
        engines = tuple(replace(each, up=False, gone=True, output=None) for each in unit.engines)
        idle = tuple(replace(gpu, utilization_ratio=0.0, power_watts=200.0) for gpu in step.gpus)
        gone = replace(step, units=(replace(unit, engines=engines),), gpus=idle)
        down.append(line_of_signs(gone if len(down) >= 100 else step))
    file = tmp_path / "down.jsonl"
    head = orjson.dumps({**orjson.loads(head), "columns": FIELDS})
    file.write_bytes(b"\n".join([head, *down]) + b"\n")
    return file


async def test_an_engine_that_was_gone_is_gone_again(crashed):
    node = await Replaying(crashed).run(115)
    (incident,) = node.memory.incidents

    assert incident.cause == "engine_down"
    assert [outcome.reason for outcome in node.outcomes.values()] == [None, Reason.UNREACHABLE]


async def test_when_it_is_over_nothing_is_told_any_more():
    node = await Replaying(CAPTURE).run(30)
    node.second = 230
    await node.run(12)

    assert {outcome.reason for outcome in node.outcomes.values()} == {Reason.UNREACHABLE}
    assert node.snapshot.tokens_per_second == {}


@pytest.mark.parametrize(
    ("body", "reason", "why"),
    [
        (b"", Reason.MALFORMED, "is empty"),
        (b"hello\n", Reason.MALFORMED, "is no recording of rackwatt"),
        (CAPTURE.read_bytes()[:300], Reason.MALFORMED, "cut short"),
        (gzip.compress(b"x" * (5 << 20)), Reason.MALFORMED, "has a line of more than 4 MiB"),
        (None, Reason.DENIED, "cannot be read: No such file"),
    ],
    ids=["empty", "other", "cut", "hostile", "absent"],
)
async def test_what_cannot_be_replayed_is_an_outcome_that_says_why(tmp_path, body, reason, why):
    file = tmp_path / "recording"
    if body is not None:
        file.write_bytes(body)
    error = await refusal(file)

    assert (error.reason, why in error.detail) == (reason, True), error.detail


async def test_without_a_file_it_says_what_to_set():
    assert "collectors.replay: set file" in (await refusal("")).detail


async def test_the_doctor_says_what_is_in_it():
    (finding,) = await examine(Settings(file=str(CAPTURE)))

    assert (finding.level, finding.text.endswith("220 s of tray-00")) == (Level.OK, True)
