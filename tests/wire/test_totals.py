"""The totals document: small, whole, and believed only as far as it makes sense."""

import json
from dataclasses import replace

import pytest
from fakes.rack_node import OUTPUT, RackNode
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.measure.engine import TokenKind
from agent.measure.limiter import Limit, Limiter, LimitEvidence
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.reading import Reason, SourceError
from agent.measure.series import Point
from agent.measure.snapshot import NodeIdentity
from agent.measure.totals import DeploymentTotals
from agent.measure.validity import Flag, Invalid
from agent.wire.totals import from_json, to_json

UUID = "0f0e1b2c-1234-5678-9abc-def012345678"


LIMITER = Limiter(
    Limit.DEMAND,
    0.987_654_321,
    (
        LimitEvidence(
            "deployment_limiter",
            None,
            None,
            None,
            "all 123 requests are in work; more of them have made 61000 tokens/s, so many usually make 45678",
        ),
    ),
)


@pytest.fixture
def totals():
    """Four GPUs and two engines of real size."""
    model = "meta-llama/Llama-2-70b-chat-hf"
    node = RackNode("tray-07", model=model, engines=2, ledger=UUID, boot_id=f"boot:{UUID}")
    plain = node.totals(123_456.789_012)
    live = {kind: Point(128_456.539_012_345, 1_234_567.891, 0.007_812_5, 0.0) for kind in TokenKind}
    full = ("hw_power_brake_slowdown", "hw_thermal_slowdown", "sw_power_cap", "sw_thermal_slowdown")
    return replace(
        plain,
        node=NodeIdentity("tray-07.example.net", "r12", "1821924000123", "6", f"{UUID}.0"),
        tokens={(model, kind): 9_876_543_210.0 for kind in TokenKind},
        engines=tuple(replace(engine, live=live, deployment=0) for engine in plain.engines),
        deployments=(DeploymentTotals(model, model, 4, whole=True, limiter=LIMITER),),
        boundaries=tuple(
            replace(
                plain.boundaries[0],
                boundary=name,
                reasons=frozenset({Invalid.COUNTER_POWER_MISMATCH, Invalid.MEMBER_MISSING}),
                flags=frozenset({Flag.INTEGRATED, Flag.UNVERIFIED}),
                since_seconds=100.25,
            )
            for name in ("gpu", "module", "node")
        ),
        gpus=tuple(
            MemberGpu(n, f"GPU-{UUID}", True, 1012.345_678, 1400.0, -3.5, 0.987_654, 1.92e9, full)
            for n in range(4)
        ),
    )


def broken(totals, change):
    plain = json.loads(to_json(totals))
    change(plain)
    return json.dumps(plain).encode()


def refusal(body):
    with pytest.raises(SourceError) as refused:
        from_json(body)
    return refused.value


def test_what_is_written_is_read(totals):
    assert from_json(to_json(totals)) == totals


def test_a_deployment_that_is_a_part_of_its_node_is_read_as_it_was_written(totals):
    part = DeploymentTotals(
        "chat",
        "m",
        2,
        False,
        7.5,
        totals.boundaries[:2],
        frozenset({Invalid.UNATTRIBUTED, Invalid.SPANS_NODES}),
    )
    changed = replace(totals, deployments=(part, part), spans_nodes=True, zeros=frozenset({OUTPUT}))

    assert from_json(to_json(changed)) == changed


def test_gpus_that_a_node_misses_are_told_to_its_rack_and_an_older_node_misses_none(totals):
    changed = replace(totals, gpus_absent=1)

    assert from_json(to_json(changed)) == changed
    assert from_json(broken(changed, lambda plain: plain["node"].pop())).gpus_absent == 0


def test_a_node_misses_no_more_gpus_than_a_rack_could_have(totals):
    assert from_json(broken(totals, lambda plain: plain["node"].__setitem__(7, 1e9))).gpus_absent == 2048


def test_four_gpus_and_two_engines_stay_below_four_kilobytes(totals):
    assert len(to_json(totals)) <= 4096


def test_four_gpus_and_two_engines_of_two_deployments_stay_below_four_kilobytes(totals):
    well = [replace(at, reasons=frozenset()) for at in totals.boundaries[:2]]
    parts = tuple(
        DeploymentTotals(name, name, 2, False, 12_345.678_901, tuple(well), limiter=LIMITER)
        for name in ("meta-llama/Llama-2-70b-chat-hf", "Qwen/Qwen2.5-72B-Instruct")
    )

    assert len(to_json(replace(totals, deployments=parts))) <= 4096


def test_a_node_that_does_not_tell_what_bounds_a_deployment_is_read(totals):
    told = from_json(broken(totals, lambda plain: plain["deployments"][0].pop()))

    assert told.deployments[0].limiter is None


def test_a_limit_that_only_a_later_version_knows_is_unknown(totals):
    told = from_json(broken(totals, lambda plain: plain["deployments"][0][7].__setitem__(0, "moon")))

    assert told.deployments[0].limiter.name is Limit.UNKNOWN


def test_another_schema_is_refused_with_both_versions(totals):
    error = refusal(broken(totals, lambda plain: plain.update(schema=2)))

    assert error.reason is Reason.UNSUPPORTED
    assert "totals of schema 2, this rackwatt (1) knows only its own" in error.detail


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: p.update(now=[-1.0, 0.0, 0.0]), "now: '-1.0' is not between 0 and 2^53"),
        (lambda p: p["tokens"].__setitem__(0, ["m", "output", 1e300]), "tokens: '1e+300' is not between"),
        (lambda p: p["tokens"].__setitem__(0, ["m", "output", True]), "tokens: 'True' is not a number"),
        (lambda p: p["tokens"].__setitem__(0, ["m", "output", None]), "tokens: 'None' is not a number"),
        (lambda p: p["tokens"].__setitem__(0, [7, "output", 1]), "tokens: '7' is not text"),
        (lambda p: p["tokens"].__setitem__(0, ["m"]), "tokens: not a row of 3 values"),
        (lambda p: p.update(tokens={}), "tokens: not a list"),
        (lambda p: p.update(tokens=[["m", "output", 1]] * 3000), "tokens: not a list of at most 2048"),
        (lambda p: p["boundaries"][0].__setitem__(3, 9e9), "a moment after the node's own clock"),
        (lambda p: p["boundaries"][0].__setitem__(6, "hot"), "boundaries: 'hot' is not a number"),
        (lambda p: p["engines"][0].__setitem__(3, 1), "engines: '1' is neither true nor false"),
        (lambda p: p["gpus"].__setitem__(0, None), "gpus: not a row of 9 values"),
        (lambda p: p["origin"].__setitem__(2, ""), "origin: names no ledger"),
        (lambda p: p["node"].__setitem__(0, ""), "node: has no name"),
        (lambda p: p.pop("sequence"), "sequence: 'None' is not a number"),
    ],
)
def test_what_makes_no_sense_is_refused_and_said(totals, change, why):
    error = refusal(broken(totals, change))

    assert error.reason is Reason.MALFORMED
    assert why in error.detail


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"\xff", b"[" * 100_000, b"NaN"])
def test_what_is_no_document_is_malformed(body):
    assert refusal(body).reason is Reason.MALFORMED


def test_nan_and_infinity_are_no_json(totals):
    body = to_json(totals)

    assert refusal(body.replace(b"9876543210.0", b"NaN")).reason is Reason.MALFORMED
    assert refusal(body.replace(b"9876543210.0", b"1e999")).reason is Reason.MALFORMED


def test_what_a_later_version_adds_is_not_read(totals):
    def add(plain):
        plain["more"] = {"x": 1}
        plain["gpus"][0].append("new")
        plain["tokens"].append(["m", "reasoning", 5.0])

    assert from_json(broken(totals, add)) == totals


def test_names_are_made_fit_to_be_shown(totals):
    read = from_json(broken(totals, lambda plain: plain["node"].__setitem__(0, "a\x1b[2J" + "x" * 999)))

    assert read.node.name.isprintable()
    assert len(read.node.name) == 256


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.data())
def test_nothing_but_a_source_error_comes_out_of_a_broken_document(data):
    plain = json.loads(to_json(RackNode("a").totals(10.0)))
    key = data.draw(st.sampled_from(sorted(plain)))
    if isinstance(plain[key], list) and plain[key] and data.draw(st.booleans()):
        inner = plain[key][0] if isinstance(plain[key][0], list) else plain[key]
        inner[data.draw(st.integers(0, len(inner) - 1))] = data.draw(json_values)
    else:
        plain[key] = data.draw(json_values)
    try:
        read = from_json(json.dumps(plain).encode())
    except SourceError:
        return

    assert all(0 <= total <= 2**53 for total in read.tokens.values())
    assert OUTPUT in read.engines[0].live if read.engines and read.engines[0].live else True
