"""A twin rack, scraped by real servers: what they record of it is what it says."""

import math
import time

import pytest
from fakes import promql
from fakes.scraped_rack import ScrapedRack, Servers, recorded_by_hand, values

pytestmark = pytest.mark.alone

WITHIN = 0.01
AGREE_SECONDS = 20.0
"""A scrape that came late is in the windows for so long."""
ALWAYS_EMPTY = {"node:rackwatt_zero_tokens:rate5m", "rack:rackwatt_incidents:standing"}
"""Every node of a healthy rack has work, and no incident stands there."""


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


def live(metric):
    """What the rack's two daemons said on average over the window of the rules."""
    return f"max without (instance) (avg_over_time(rackwatt_{metric}[15s]))"


def mean(record):
    """What was recorded on average: single ones may be a reading off at either end of their window."""
    return f"avg_over_time({record}[15s])"


def apart(server, recorded, other, said, labels):
    """What differs by more than a hundredth between the results of two queries, by these labels."""
    ends = time.monotonic() + AGREE_SECONDS
    while True:
        one, two = values(server.query(recorded), *labels), values(other.query(said), *labels)
        found = {key: (one.get(key), two.get(key)) for key in one.keys() | two.keys()}
        found = {key: pair for key, pair in found.items() if None in pair or not within(*pair)}
        if one and not found:
            return {}
        if time.monotonic() > ends:
            return found or "nothing was recorded"
        time.sleep(0.5)


def within(one, other, share=WITHIN):
    return math.isclose(one, other, rel_tol=share, abs_tol=1e-9)


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
    server = servers.prometheus

    assert apart(server, mean(record), server, live(metric), labels) == {}


def test_what_is_recorded_of_a_node_is_what_the_node_says(servers):
    server, by_node = servers.prometheus, "* on (job, instance) group_left (node) rackwatt_node_info"
    for record, metric, labels in (
        ("node:rackwatt_tokens:rate5m", "node_tokens_per_second", ("node", "kind")),
        ("node:rackwatt_tokens_per_joule:ratio5m", "node_tokens_per_joule", ("node", "kind", "boundary")),
    ):
        said = f"avg_over_time(rackwatt_{metric}[15s]) {by_node}"

        assert apart(server, mean(record), server, said, labels) == {}


def test_what_is_recorded_of_a_model_is_what_its_nodes_say(servers):
    server, ratio = servers.prometheus, "avg by (model, kind, boundary) (avg_over_time({}[15s]))"
    rate, labels = "sum by (model, kind) (avg_over_time({}[15s]))", ("model", "kind")
    said = rate.format("rackwatt_model_tokens_per_second")

    assert apart(server, mean("model:rackwatt_tokens:rate5m"), server, said, labels) == {}
    said, labels = ratio.format("rackwatt_model_tokens_per_joule"), (*labels, "boundary")
    assert apart(server, mean("model:rackwatt_tokens_per_joule:ratio5m"), server, said, labels) == {}


def test_the_site_is_its_one_rack(servers):
    server, tokens, watts = servers.prometheus, live("rack_tokens_per_second"), live("rack_power_watts")

    assert apart(server, mean("site:rackwatt_tokens:rate5m"), server, tokens, ["kind"]) == {}
    assert apart(server, mean("site:rackwatt_power_watts:rate5m"), server, watts, ["boundary"]) == {}


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


@pytest.mark.parametrize(
    "record",
    [
        "node:rackwatt_tokens_per_joule:ratio5m",
        "rack:rackwatt_tokens:rate5m",
        "rack:rackwatt_power_watts:rate5m",
        "rack:rackwatt_tokens_per_joule:ratio5m",
        "model:rackwatt_tokens_per_joule:ratio5m",
        "rack:rackwatt_coverage:ratio",
        "model:rackwatt_request_duration_seconds:p99_5m",
        "site:rackwatt_tokens_per_joule:ratio5m",
    ],
)
def test_the_same_rules_give_the_same_on_victoriametrics(servers, by_victoria, record):
    """Within three hundredths: its windows begin with the sample before them, and it was asked once."""
    labels = sorted(promql.shipped()[record])
    theirs, ours = (
        values(by_victoria[record], *labels),
        values(servers.prometheus.query(mean(record)), *labels),
    )

    assert theirs.keys() == ours.keys() != set()
    assert {key for key in ours if not within(theirs[key], ours[key], 3 * WITHIN)} == set()


def test_t17_every_rule_answers_on_victoriametrics(by_victoria):
    assert {record for record, rows in by_victoria.items() if not rows} == ALWAYS_EMPTY


def test_vmalert_records_the_rules(servers):
    for record in ("node:rackwatt_model_tokens:rate5m", "rack:rackwatt_nodes:expected"):
        labels = sorted(promql.shipped()[record])
        found = apart(servers.vmalert, mean(record), servers.prometheus, mean(record), labels)

        assert found == {}, record


def test_a_server_above_records_the_site_of_what_it_federates(servers):
    site, labels = mean("site:rackwatt_tokens_per_joule:ratio5m"), ("kind", "boundary")
    racks = servers.above.query("rack:rackwatt_tokens:rate5m")

    assert apart(servers.above, site, servers.prometheus, site, labels) == {}
    assert {row["metric"]["prometheus"] for row in racks} == {"hall-a"}
    assert not servers.above.query('{__name__=~"node:.+|rackwatt_.+"}')


@pytest.mark.parametrize("where", ["receiver", "store"])
def test_what_is_written_remotely_is_what_is_recorded_and_no_more(servers, where):
    written, record = getattr(servers, where), mean("rack:rackwatt_tokens:rate5m")
    rows = written.query('{__name__=~".+"}')

    assert {row["metric"]["__name__"].partition(":")[0] for row in rows} == {"node", "model", "rack"}
    assert apart(written, record, servers.prometheus, record, ["kind"]) == {}
