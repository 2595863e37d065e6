"""Settings: whatever is wrong is told with file, line, key and choices."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent import binding, config
from agent.measure.engine import Latency
from agent.measure.site import Stated
from agent.reckoners import plan_of


def refusal(text):
    with pytest.raises(binding.ConfigError) as caught:
        config.parse(text, "rackwatt.yaml")
    return str(caught.value)


def test_without_a_file_gpus_and_the_host_are_read_engines_found_and_prometheus_served():
    settings = config.load(None)

    assert list(settings.collectors) == ["nvml", "host", "engines"]
    assert settings.collectors["engines"].discovers
    assert list(settings.exporters) == ["prometheus"]
    assert settings.listen_address == ("127.0.0.1", 9744)


def test_an_empty_file_is_the_defaults():
    assert config.parse("", "x").general == config.load(None).general


def test_a_collector_without_settings_takes_its_defaults():
    settings = config.parse("collectors: {nvml: {}}", "x")

    assert settings.collectors["nvml"].interval == 1.0


def test_the_general_interval_is_the_default_of_every_collector():
    settings = config.parse("interval: 500ms\ncollectors: {nvml: {}}", "x")

    assert settings.collectors["nvml"].interval == 0.5


def test_a_collectors_own_interval_wins():
    settings = config.parse("interval: 500ms\ncollectors: {nvml: {interval: 2s}}", "x")

    assert settings.collectors["nvml"].interval == 2.0


def test_an_exporter_sends_at_its_own_interval_not_at_the_general_one():
    settings = config.parse("interval: 500ms\nexporters: {otlp: {}}", "x")

    assert settings.exporters["otlp"].interval == 15.0


def test_targets_are_a_list_of_mappings():
    settings = config.parse(
        "collectors: {engines: {targets: [{url: 'http://127.0.0.1:8000/metrics', engine: vllm}]}}", "x"
    )

    assert settings.collectors["engines"].targets[0].url == "http://127.0.0.1:8000/metrics"
    assert settings.collectors["engines"].targets[0].engine == "vllm"


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5)]
)
def test_durations_are_written_as_prometheus_does(text, seconds):
    assert binding.duration_seconds(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("512KiB", 524288), ("8MiB", 8388608)])
def test_sizes_have_units(text, size):
    assert binding.size_bytes(text) == size


def test_an_unknown_key_names_line_key_and_choices():
    assert refusal("listen: 127.0.0.1:1\nintervall: 1s\n") == (
        "rackwatt.yaml:2: intervall: unknown key; there are: "
        "collectors, exporters, interval, listen, node, rack, recorder, site, slo, state_dir, web, window"
    )


def test_limits_of_latency_hold_for_every_model():
    settings = config.parse("slo: {first_token: 500ms, inter_token: 50ms}", "x")

    assert settings.general.slo.limits_of("qwen") == {Latency.FIRST_TOKEN: 0.5, Latency.INTER_TOKEN: 0.05}


def test_a_model_may_have_limits_of_its_own():
    text = "slo: {first_token: 500ms, models: {llama: {first_token: 2s, end_to_end: 1m}}}"
    settings = config.parse(text, "x")

    assert settings.general.slo.limits_of("llama") == {Latency.FIRST_TOKEN: 2.0, Latency.END_TO_END: 60.0}


def test_a_limit_of_every_model_is_none_of_one_that_sets_it_to_0():
    text = "slo: {first_token: 500ms, end_to_end: 9s, models: {batch: {first_token: 0}}}"
    settings = config.parse(text, "x")

    assert settings.general.slo.limits_of("batch") == {Latency.END_TO_END: 9.0}


def test_an_unknown_latency_names_the_choices():
    assert refusal("slo: {models: {llama: {ttft: 1s}}}") == (
        "rackwatt.yaml:1: slo.models.llama.ttft: unknown key; there are: "
        "end_to_end, first_token, inter_token, queue"
    )


def test_what_the_site_pays_may_stand_alone_or_say_who_stated_it():
    prices = "currency: USD, price_per_kwh: 0.08, price_per_gpu_hour: 3.30"
    plain = config.parse(f"site: {{pue: 1.2, {prices}, grams_co2e_per_kwh: 400}}", "x").general.site
    stated = config.parse(
        "site: {pue: {value: 1.2, source: 'report of 2026, category 2', date: 2026-06-30}}", "x"
    )

    assert (plain.pue, plain.price_per_kwh, plain.grams_co2e_per_kwh) == (Stated(1.2), 0.08, Stated(400.0))
    assert stated.general.site.pue == Stated(1.2, "report of 2026, category 2", "2026-06-30")


def test_a_tariff_names_its_clock():
    settings = config.parse(
        "site:\n"
        "  {pue: 1.1, currency: EUR, price_per_kwh: 0.1, tariff: {timezone: Europe/Berlin, periods: [\n"
        "    {hours: 08:00-20:00, days: [mon, fri], price_per_kwh: 0.3}]}}\n",
        "x",
    )

    assert str(config.zone_of(settings.general.site)) == "Europe/Berlin"
    assert settings.general.site.tariff.periods[0].hours == "08:00-20:00"


@pytest.mark.parametrize(
    ("packages", "code", "said"), [("", 0, ""), ("tzdata", 1, "come with the package tzdata")]
)
def test_a_machine_without_time_zones_has_those_of_a_package_and_without_it_says_so(
    tmp_path, packages, code, said
):
    """As in a slim image: PYTHONTZPATH is empty; the second machine lacks the package as well."""
    path = tmp_path / "rackwatt.yaml"
    path.write_text(
        "site: {pue: 1.1, currency: EUR, price_per_kwh: 0.1, "
        "tariff: {timezone: Europe/Berlin, periods: [{price_per_kwh: 0.3}]}}\n"
    )
    lines = [f"import sys; sys.modules.update(dict.fromkeys({packages.split()}))", "from agent import cli"]
    lines += [f"sys.exit(cli.main(['check', {str(path)!r}]))"]
    ran = subprocess.run(
        [sys.executable, "-P", "-c", "\n".join(lines)],
        env={"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == code, ran.stdout + ran.stderr
    assert said in ran.stdout


def test_only_the_daemon_of_a_rack_reads_controllers_of_other_nodes():
    reads = "collectors: {redfish: {targets: [{url: 'https://bmc-07', node: tray-07}]}}\n"
    rack = "rack: {members: ['http://tray-07:9744']}\n"

    assert config.parse(rack + reads, "x").collectors["redfish"].targets[0].node == "tray-07"
    with pytest.raises(config.ConfigError, match=r"x:1: collectors.redfish: there are no members"):
        config.parse(reads, "x")


def test_a_feed_of_emissions_is_known_to_be_configured_before_it_has_told_anything():
    """Energy that it never rated is missing in the total; without a feed nothing is."""
    fed = "site: {pue: 1.1}\ncollectors: {carbon: {file: /x}}\n"

    assert plan_of(config.parse(fed, "x")).feed
    assert not plan_of(config.parse("site: {pue: 1.1}\n", "x")).feed


SITE_ERRORS = [
    ("{pue: 0.9}", "site: pue: 0.9 is not between 1 and 5"),
    ("{pue: {value: 1.2, date: July}}", "site.pue: date: 'July' is not a date such as 2026-06-30"),
    ("{pue: {source: x}}", "site.pue: needs value"),
    ("{price_per_gpu_hour: 3}", "site: currency: is needed beside a price, e.g. USD"),
    ("{currency: usd}", "site: currency: 'usd' is not three capital letters such as USD"),
    ("{currency: USD, price_per_kwh: 0.1}", "site: price_per_kwh: needs pue; 1 where"),
    ("{grams_co2e_per_kwh: 400}", "site: grams_co2e_per_kwh: needs pue; 1 where"),
    ("{pue: 1, grams_co2e_per_kwh: -1}", "site: grams_co2e_per_kwh: must not be negative"),
    ("{currency: USD, price_per_gpu_hour: -1}", "site: price_per_gpu_hour: must not be negative"),
    ("{price: 1}", "site.price: unknown key; there are: currency, grams_co2e_per_kwh, price_per_gpu_hour, "),
    (
        "{tariff: {periods: [{price_per_kwh: 1}]}}",
        "site.tariff: timezone: is needed beside periods, e.g. Europe/Berlin or UTC",
    ),
    (
        "{tariff: {timezone: UTC, periods: [{price_per_kwh: 1}]}}",
        "site: tariff: needs price_per_kwh, which holds where no period does",
    ),
    (
        "{tariff: {timezone: Europe/Berlln}}",
        "site.tariff.timezone: this machine has no time zone 'Europe/Berlln'; names are such as",
    ),
    ("{tariff: {periods: [{hours: 08:00-20:00}]}}", "site.tariff.periods[0]: needs price_per_kwh"),
    (
        "{tariff: {timezone: UTC, periods: [{price_per_kwh: 1, hours: 8-20}]}}",
        "site.tariff.periods[0]: hours: '8-20' is not two times of a day such as 08:00-20:00",
    ),
    (
        "{tariff: {timezone: UTC, periods: [{price_per_kwh: 1, days: [Mo]}]}}",
        "site.tariff.periods[0]: days: no day 'Mo'; there are: mon, tue, wed, thu, fri, sat, sun",
    ),
]


@pytest.mark.parametrize(("site", "error"), SITE_ERRORS)
def test_a_site_that_cannot_be_is_refused(site, error):
    assert refusal(f"listen: 127.0.0.1:1\nsite: {site}\n").startswith(f"rackwatt.yaml:2: {error}")


def test_emissions_are_told_once():
    text = "site: {pue: 1, grams_co2e_per_kwh: 400}\ncollectors: {carbon: {file: /x.json}}"

    assert refusal(text).startswith("rackwatt.yaml:1: site.grams_co2e_per_kwh: collectors.carbon tells it")


def test_an_unknown_collector_names_the_choices():
    message = refusal("collectors:\n  nvlm: {}\n")

    assert message.startswith("rackwatt.yaml:2: collectors.nvlm: unknown key; there are: carbon, dcgm,")


def test_an_unknown_setting_of_a_collector_is_named_with_its_path():
    assert refusal("collectors:\n  nvml:\n    intervall: 1s\n").startswith(
        "rackwatt.yaml:3: collectors.nvml.intervall: unknown key; there are: "
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interval: 10", "rackwatt.yaml:1: interval: '10' is not a duration such as 500ms, 10s or 1m30s"),
        ("interval: 0s", "rackwatt.yaml:1: interval: '0s' is not between 10ms and 1d"),
        ("window: 2d", "rackwatt.yaml:1: window: '2d' is not between 10ms and 1d"),
        ("listen: 127.0.0.1:²", "is not ADDRESS:PORT"),
        ("[" * 5000, "rackwatt.yaml: is nested too deeply"),
        ("exporters: {prometheus: {path: metrics}}", "path: 'metrics' must begin with /"),
        ("exporters: {prometheus: {path: /-/ready}}", "path: '/-/ready' must begin with / and not be one of"),
        (
            "exporters: {prometheus: {}, dcgm_names: {path: /metrics}}",
            "rackwatt.yaml:1: exporters.dcgm_names.path: '/metrics' is that of exporters.prometheus already",
        ),
        ("exporters: {dcgm_names: {names: all}}", "names: 'all' is not one of: old, new, both"),
        ("interval: [1s]", "rackwatt.yaml:1: interval: must be a single value"),
        ("listen: 9744", "rackwatt.yaml:1: listen: '9744' is not ADDRESS:PORT, e.g. 127.0.0.1:9744"),
        ("listen: 127.0.0.1:99999", "is not ADDRESS:PORT"),
        ("node: tray-07", "rackwatt.yaml:1: node: must be a mapping of keys"),
        ("- a\n- b", "rackwatt.yaml:1: the file: must be a mapping of keys"),
        ("window: 1s\nwindow: 2s", "rackwatt.yaml:2: window: is given twice"),
        ("collectors: {engines: {targets: {}}}", "collectors.engines.targets: must be a list"),
        ("collectors: {engines: {targets: [{}]}}", "collectors.engines.targets[0]: needs url"),
        (
            "window: 1s\na: [",
            "rackwatt.yaml:2: not YAML: expected the node content, but found '<stream end>'",
        ),
        ("listen: !!python/object:os.system x", "listen"),
    ],
)
def test_wrong_values_are_refused_with_file_line_and_key(text, message):
    assert message in refusal(text)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(binding.ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        config.load(tmp_path / "nowhere.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00listen")

    with pytest.raises(binding.ConfigError, match=r"x\.yaml: is not UTF-8 text"):
        config.load(tmp_path / "x.yaml")


def test_a_file_that_may_not_be_read_says_who_must_be_let(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs these tests, may read everything

    with pytest.raises(
        binding.ConfigError,
        match=r"x\.yaml: cannot be read: Permission denied; let the user that runs rackwatt",
    ):
        config.load(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRINUSE, "Address already in use; is rackwatt running already? else stop who has it"),
        (errno.EADDRNOTAVAIL, "Cannot assign requested address; no interface of this machine has that"),
        (errno.EACCES, "Permission denied; ports below 1024 are not for this user"),
        (errno.ENOBUFS, "No buffer space available"),
    ],
)
def test_why_an_address_cannot_be_listened_on_is_told_with_what_to_do(number, said):
    error = OSError(number, "error while attempting to bind on address ('127.0.0.1', 80): whatever")

    assert config.why_not_listening(error).startswith(said)


def test_a_host_that_has_no_address_cannot_be_listened_on():
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert config.why_not_listening(error) == "Name or service not known; write the address in digits"


def test_systemd_names_the_state_directory(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/rackwatt")

    assert str(config.load(None).state_dir) == "/var/lib/rackwatt"


def test_without_a_home_totals_are_kept_where_systemd_would(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(config.Path, "home", nowhere)

    assert str(config.load(None).state_dir) == "/var/lib/rackwatt"


def test_only_what_is_configured_is_imported():
    program = (
        "import sys; from agent import config; config.parse('collectors: {}', 'x');"
        "print([m for m in ('agent.collectors.nvml', 'pynvml', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_members_switch_the_collector_peers_on():
    parsed = config.parse(
        "interval: 500ms\ncollectors: {}\nrack:\n  members:\n    - http://a:9744\n"
        "    - {url: 'https://b:9744', basic_auth: {username: u, password_file: /p}}\n",
        "f",
    )
    peers = parsed.collectors["peers"]

    assert [member.url for member in peers.members] == ["http://a:9744", "https://b:9744"]
    assert peers.members[1].basic_auth.username == "u"
    assert peers.interval == 0.5


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "rack: {members: [ftp://a]}",
            "f:1: rack.members[0]: url: 'ftp://a' is not an http:// or https:// addr",
        ),
        ("rack:\n  members: [http://a, http://a/]", "f:2: rack: members[1]: 'http://a/' is members[0] again"),
        (
            "rack: {members: [{url: http://a, usr: x}]}",
            "f:1: rack.members[0].usr: unknown key; there are: author",
        ),
        ("rack: {record: azure}", "f:1: rack: record: no 'azure'; there is: azure-gb300-llama2-70b"),
        ("rack: {expected: {nodes: 0}}", "f:1: rack.expected: nodes: must be at least 1"),
        ("node: {gpus: -1}", "f:1: node: gpus: must be at least 0"),
        ("rack: {members_from: {}}", "rack.members_from: needs file_sd or http_sd"),
        ("collectors: {peers: {}}", "f:1: collectors.peers: there are no members; name them in rack.members"),
        (
            "rack: {members: [http://a]}\ncollectors: {peers: {members: []}}",
            "collectors.peers.members: unknown key",
        ),
    ],
)
def test_a_rack_that_cannot_be_is_refused(text, error):
    with pytest.raises(config.ConfigError) as refused:
        config.parse(text, "f")

    assert error in str(refused.value)


def test_an_interval_of_its_own_is_not_the_daemons():
    loaded = config.parse(
        "interval: 2s\ncollectors: {nvml: {}, dcgm_exporter: {}}\n", "rackwatt.yaml"
    ).collectors

    assert (loaded["nvml"].interval, loaded["dcgm_exporter"].interval) == (2.0, 15.0)


def test_a_source_of_gpus_that_is_no_collector_is_named_with_the_choices():
    message = refusal("node: {gpu_sources: [nvml, dcgm-exporter]}\n")

    assert "node.gpu_sources: no collector 'dcgm-exporter'; there are: carbon, dcgm," in message


def test_the_flight_recorder_can_be_switched_off_and_holds_something_where_it_is_on():
    off = config.parse("recorder: {memory: 0, retention_size: 0}\n", "rackwatt.yaml").general.recorder

    assert (off.memory, off.retention_size) == (None, None)
    assert "recorder: memory: must be 0, or at least 512KiB" in refusal("recorder: {memory: 1KiB}\n")
