"""A twin rack, scraped by real servers: what they record of it is what it says."""

import math

import pytest
from fakes import promql
from fakes.scraped_rack import ScrapedRack, Servers, recorded_by_hand, values

pytestmark = pytest.mark.alone

WITHIN = 0.01
ALWAYS_EMPTY = {"node:rackwatt_zero_tokens:rate5m"}
"""Every node of a healthy rack has work."""


@pytest.fixture(scope="module")
def rack(tmp_path_factory):
    with ScrapedRack(tmp_path_factory.mktemp("rack")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(rack):
    with Servers(rack) as running:
        yield running


@pytest.fixture(scope="module")
def by_victoria(servers):
    return recorded_by_hand(servers.victoria)


@pytest.fixture(scope="module")
def name(servers):
    """The rack's name, by its nodes, which were not given one."""
    (rack,) = {row["metric"]["rack"] for row in servers.prometheus.query("rackwatt_rack_tokens_per_second")}
    return rack


def live(servers, metric, *labels):
    """What the rack's two daemons said on average over the window of the rules."""
    rows = servers.prometheus.query(f"max without (instance) (avg_over_time(rackwatt_{metric}[15s]))")
    return values(rows, *labels)


def close(recorded, said):
    assert recorded, "nothing was recorded"
    assert recorded.keys() == said.keys()
    return {key: (recorded[key], said[key]) for key in recorded if not within(recorded[key], said[key])}


def within(one, other):
    return math.isclose(one, other, rel_tol=WITHIN, abs_tol=1e-9)


def test_t17_every_rule_answers_on_a_healthy_rack(servers):
    empty = {name for name in promql.shipped() if not servers.prometheus.query(name)}

    assert empty == ALWAYS_EMPTY


@pytest.mark.parametrize(
    ("record", "metric", "labels"),
    [
        ("rack:rackwatt_tokens:rate5m", "rack_tokens_per_second", ("rack", "kind")),
        ("rack:rackwatt_tokens:rate1m", "rack_tokens_per_second", ("rack", "kind")),
        ("rack:rackwatt_power_watts:rate5m", "rack_power_watts", ("rack", "boundary", "source")),
        ("rack:rackwatt_tokens_per_joule:ratio5m", "rack_tokens_per_joule", ("rack", "kind", "boundary")),
        ("rack:rackwatt_coverage:ratio", "rack_coverage_ratio", ("rack",)),
        ("rack:rackwatt_nodes:expected", "rack_nodes_expected", ("rack",)),
        ("rack:rackwatt_nodes:reporting", "rack_nodes_reporting", ("rack",)),
    ],
)
def test_what_prometheus_records_of_node_counters_is_what_the_rack_says(servers, record, metric, labels):
    """T5, T10: within a hundredth, over the same window."""
    recorded = values(servers.prometheus.query(record), *labels)

    assert close(recorded, live(servers, metric, *labels)) == {}


def test_what_is_recorded_of_a_node_is_what_the_node_says(servers):
    by_node = "* on (job, instance) group_left (node) rackwatt_node_info"
    for record, metric, labels in (
        ("node:rackwatt_tokens:rate5m", "node_tokens_per_second", ("node", "kind")),
        ("node:rackwatt_tokens_per_joule:ratio5m", "node_tokens_per_joule", ("node", "kind", "boundary")),
    ):
        said = servers.prometheus.query(f"avg_over_time(rackwatt_{metric}[15s]) {by_node}")

        assert close(values(servers.prometheus.query(record), *labels), values(said, *labels)) == {}


def test_what_is_recorded_of_a_model_is_what_its_nodes_say(servers):
    for record, metric, labels in (
        ("model:rackwatt_tokens:rate5m", "sum by (model, kind) ({})", ("model", "kind")),
        ("model:rackwatt_tokens_per_joule:ratio5m", "avg by (model, kind, boundary) ({})", None),
    ):
        keys = labels or ("model", "kind", "boundary")
        gauge = "model_tokens_per_second" if labels else "model_tokens_per_joule"
        said = servers.prometheus.query(metric.format(f"avg_over_time(rackwatt_{gauge}[15s])"))

        assert close(values(servers.prometheus.query(record), *keys), values(said, *keys)) == {}


def test_the_site_is_its_one_rack(servers):
    site = values(servers.prometheus.query("site:rackwatt_tokens:rate5m"), "kind")
    watts = values(servers.prometheus.query("site:rackwatt_power_watts:rate5m"), "boundary")

    assert close(site, live(servers, "rack_tokens_per_second", "kind")) == {}
    assert close(watts, live(servers, "rack_power_watts", "boundary")) == {}


def test_no_label_of_ours_was_renamed(servers):
    """What Prometheus finds on both sides, it would call exported_<label>."""
    rows = servers.prometheus.query('{__name__=~"rackwatt_.+"}')
    renamed = {label for row in rows for label in row["metric"] if label.startswith("exported_")}

    assert len(rows) > 500
    assert renamed == set()
    assert servers.prometheus.query('rackwatt_rack_member_up{node="tray-00"}')


def test_nodes_and_their_rack_agree_on_its_name_unless_only_one_of_them_is_told(rack, servers, name):
    """The default is the chassis serial; a rack's daemon without a name takes what most members say."""
    nodes = values(servers.prometheus.query('rackwatt_node_info{node=~"tray-.+"}'), "rack")

    assert set(nodes) == {(name,)}
    assert name == "1821627502889"
    assert rack.renamed.value("rackwatt_rack_nodes_expected", rack="r12") == 3
    assert rack.renamed.value("rackwatt_rack_nodes_expected", rack=name) is None


def test_the_same_rules_give_the_same_on_victoriametrics(servers, by_victoria):
    for record in (
        "node:rackwatt_tokens_per_joule:ratio5m",
        "rack:rackwatt_tokens:rate5m",
        "rack:rackwatt_power_watts:rate5m",
        "rack:rackwatt_tokens_per_joule:ratio5m",
        "model:rackwatt_tokens_per_joule:ratio5m",
        "rack:rackwatt_coverage:ratio",
        "model:rackwatt_request_duration_seconds:p99_5m",
        "site:rackwatt_tokens_per_joule:ratio5m",
    ):
        labels = sorted(promql.shipped()[record])
        recorded = values(servers.prometheus.query(record), *labels)

        assert close(values(by_victoria[record], *labels), recorded) == {}, record


def test_t17_every_rule_answers_on_victoriametrics(by_victoria):
    assert {record for record, rows in by_victoria.items() if not rows} == ALWAYS_EMPTY


def test_vmalert_records_the_rules(servers):
    for record in ("node:rackwatt_model_tokens:rate5m", "rack:rackwatt_nodes:expected"):
        labels = sorted(promql.shipped()[record])
        recorded = values(servers.prometheus.query(record), *labels)

        assert close(values(servers.vmalert.query(record), *labels), recorded) == {}, record


def test_a_server_above_records_the_site_of_what_it_federates(servers):
    below = values(servers.prometheus.query("site:rackwatt_tokens_per_joule:ratio5m"), "kind", "boundary")
    above = values(servers.above.query("site:rackwatt_tokens_per_joule:ratio5m"), "kind", "boundary")
    racks = servers.above.query("rack:rackwatt_tokens:rate5m")

    assert close(above, below) == {}
    assert {row["metric"]["prometheus"] for row in racks} == {"hall-a"}
    assert not servers.above.query('{__name__=~"node:.+|rackwatt_.+"}')


@pytest.mark.parametrize("where", ["receiver", "store"])
def test_what_is_written_remotely_is_what_is_recorded_and_no_more(servers, where):
    rows = getattr(servers, where).query('{__name__=~".+"}')
    rates = getattr(servers, where).query("rack:rackwatt_tokens:rate5m")
    kinds = values(servers.prometheus.query("rack:rackwatt_tokens:rate5m"), "kind")

    assert {row["metric"]["__name__"].partition(":")[0] for row in rows} == {"node", "model", "rack"}
    assert close(values(rates, "kind"), kinds) == {}
