"""One node with something to say in every family."""

import os
from pathlib import Path

import pytest
from fakes.incidents import engine_down, power_capped

from agent.measure.attribution import Claim, Group
from agent.measure.costs import SiteFigures
from agent.measure.energy import Verdict
from agent.measure.engine import Demand, EngineReading, Histogram, Latency, TokenKind
from agent.measure.environment import EnvironmentReading, LeakState
from agent.measure.gpu import (
    GpuIdentity,
    GpuProcess,
    GpuReading,
    GpuState,
    Placement,
    Power,
    PowerScope,
)
from agent.measure.host import HostClock, HostFigures, LinkFigures, LinkReading, PcieLink
from agent.measure.ladder import Remainder
from agent.measure.meter import PartFigures
from agent.measure.owner import GpuOwner
from agent.measure.push import Loss, PushFigures
from agent.measure.rack_snapshot import (
    DeploymentFigures,
    MemberFigures,
    ModelFigures,
    RackSnapshot,
    RecordFigures,
)
from agent.measure.reading import Cost, Moment, Outcome, Reason
from agent.measure.series import Point
from agent.measure.service import LatencyFigures, ServiceFigures
from agent.measure.site import Site, Stated
from agent.measure.snapshot import (
    Activity,
    BoundaryFigures,
    EngineFigures,
    GpuFigures,
    NodeIdentity,
    Origin,
    Snapshot,
    TokenFigures,
)
from agent.measure.validity import Flag, Invalid, Validity

AT = Moment(5000.0, 1_760_000_000.0)
GOLDEN = Path(__file__).parent.parent / "golden" / "exporters"

SITE = Site(pue=Stated(1.2, "report", "2026-06-30"), currency="USD", price_per_kwh=0.08)


@pytest.fixture
def hold_against():
    """Returns the golden page of a name, after writing it anew when that is wished."""

    def hold(page, name):
        golden = GOLDEN / name
        if os.environ.get("RACKWATT_UPDATE_GOLDENS") == "1":
            golden.write_text(page, encoding="utf-8")
        return golden.read_text(encoding="utf-8")

    return hold


@pytest.fixture
def well_gpu():
    """A GPU that tells everything."""
    identity = GpuIdentity("GPU-aa", "NVIDIA GB300", "00000008:06:00.0", "580.95.05", serial="1650325000001")
    reading = GpuReading(
        identity=identity,
        at=AT,
        power={
            PowerScope.GPU: Power(1033.5, 1101.25),
            PowerScope.MODULE: Power(2300.0),
            PowerScope.MEMORY: Power(151.0),
        },
        energy_joules=9.0e9,
        power_limit_watts={PowerScope.GPU: 1400.0, PowerScope.MODULE: 2900.0},
        utilization_ratio=0.98,
        active_ratio={"sm": 0.87, "sm_occupancy": 0.31, "tensor": 0.41, "dram": 0.65, "fp16": 0.02},
        link_bytes_per_second={"nvlink_tx": 4.01e11, "c2c_rx": 2.5e9},
        memory_used_bytes=250_000_000_000,
        memory_total_bytes=297_000_000_000,
        memory_reserved_bytes=993_000_000,
        memory_busy_ratio=0.37,
        encoder_busy_ratio=0.0,
        decoder_busy_ratio=0.12,
        pcie_replays=17,
        nvlink_slowest_bytes_per_second=53.125e9,
        temperature_celsius={"gpu": 61.0, "memory": 70.0},
        thermal_margin_celsius=24.0,
        clock_hertz={"sm": 1.92e9, "memory": 3.996e9},
        throttle_active=frozenset({"sw_power_cap"}),
        nvlinks={"active": 17, "inactive": 1},
        nvlink_worst=(7, 3),
        c2c_links={"active": 9, "low_power": 0, "inactive": 1},
        c2c_slowest_bytes_per_second=44.712e9,
        remapped_rows={"correctable": 0, "pending": 1},
        recovery_action="none",
        placement=Placement(
            "1821",
            7,
            6,
            1,
            2,
            "0f0e",
            0,
            "completed",
            fabric_healthy=False,
            fabric_troubles=frozenset({"degraded_bandwidth"}),
        ),
        processes=(GpuProcess(4242, 200_000_000_000),),
    )
    return GpuFigures(
        gpu=0,
        uuid="GPU-aa",
        state=GpuState.OK,
        reading=reading,
        energy_joules_total=123_456.5,
        energy_integrated_joules_total=123_400.25,
        verdict=Verdict.AGREES,
        throttled_seconds_total={"sw_power_cap": 12.5},
        ecc_errors_total={"corrected": 3, "uncorrected": 0},
        nvlink_bytes_total={"tx": 4.01e15, "rx": 3.98e15},
        nvlink_errors_total={"link_recovery": 3, "symbol": 120, "replay": 2, "crc_flit": 1},
        c2c_errors_total={"interrupt": 0, "replay": 2, "replay_b2b": 0},
        xid_errors_total={48: 0, 79: 1},
        pcie_replays_total=5,
        sources={"all others": "nvml", "active_ratio": "dcgm_exporter"},
    )


@pytest.fixture
def lost_gpu():
    """A GPU that fell off the bus."""
    identity = GpuIdentity("GPU-bb", "NVIDIA GB300", "00000009:06:00.0", "580.95.05")
    reading = GpuReading(identity, AT, GpuState.LOST, "fell off the bus")
    return GpuFigures(1, "GPU-bb", GpuState.LOST, reading, None, None, Verdict.UNKNOWN)


@pytest.fixture
def silent_gpu():
    """A GPU whose source failed."""
    return GpuFigures(2, "GPU-cc", None, None, None, None, Verdict.UNKNOWN)


@pytest.fixture
def serving_engine():
    """An engine at work, whose model has a name that needs escaping."""
    model = 'meta/"llama"\\70b\nfp4'
    reading = EngineReading(
        "vllm",
        "127.0.0.1:8000",
        model,
        AT,
        AT.monotonic_seconds - 0.0078125,
        "start:1759990000",
        (),
        Demand(running=12.0, waiting=3.0),
        kv_cache_usage_ratio=0.75,
        page_bytes=61_440,
    )
    return EngineFigures(
        engine="vllm",
        instance="127.0.0.1:8000",
        model=model,
        up=True,
        activity=Activity.SERVING,
        reading=reading,
        tokens=(
            TokenFigures(model, TokenKind.OUTPUT, 1_000_000.0, 2200.0, 64.0, 1500.5),
            TokenFigures(model, TokenKind.PROMPT, 9_000_000.0, None, 0.0, None),
        ),
        restarts=1.0,
        live={kind: Point(1000.0, 1e6) for kind in (TokenKind.OUTPUT, TokenKind.PROMPT)},
        counted=frozenset({TokenKind.OUTPUT}),
        work={"arrivals": 120.0, "succeeded": 97.0, "failed": 0.0, "aborted": 3.0, "preemptions": 5.0},
    )


@pytest.fixture
def silent_engine():
    """An engine that does not answer."""
    return EngineFigures("sglang", "127.0.0.1:30000", "qwen", False, Activity.UNKNOWN, None, (), 0.0)


@pytest.fixture
def rack():
    """A rack of three: one at work, one away, one drained."""
    output, prompt = TokenKind.OUTPUT, TokenKind.PROMPT
    return RackSnapshot(
        sequence=3,
        at=AT,
        rack="r12",
        of_one=False,
        window_seconds=10.0,
        tokens_per_second={output: 60_000.5, prompt: 90_000.0},
        tokens_total={output: 5_000_000.0, prompt: 7_000_000.0},
        backfilled_tokens_total={output: 1200.0},
        power_watts={"gpu": 4800.0, "module": 9600.0},
        power_sources={"gpu": "nvml", "module": "mixed"},
        energy_joules_total={"gpu": 1.5e9, "module": 3.0e9},
        tokens_per_joule={(output, "gpu"): 12.5, (prompt, "gpu"): 0.0},
        remainders=(Remainder("rack", "node", 7000.5, Validity("rack_power_remainder_rack", 10.0)),),
        power_coverage={"gpu": 1.0, "node": 0.5},
        crosschecks={("rack", "nodes"): 125_000.0},
        site=SiteFigures(
            SITE,
            price_per_kwh=0.08,
            grams_co2e_per_kwh=400.0,
            costs_total={("energy", "rack", "USD"): 12.25, ("capacity", "", "USD"): 4752.0},
            grams_total={"rack": 61_250.0},
            per_million={(output, "energy", "gpu"): 0.0021, (output, "capacity", ""): 0.06},
            grams_per_million={(output, "gpu"): 10.7},
            booked_joules={("co2e", "rack"): (5.0e8, 2.5e7)},
        ),
        coverage=0.5,
        validity=(
            Validity(
                "rack_tokens_per_second", 10.0, frozenset({Invalid.LOW_COVERAGE, Invalid.MEMBER_MISSING})
            ),
            Validity("rack_tokens_per_joule_gpu", 10.0, frozenset(), frozenset({Flag.COUNTER_RESET})),
        ),
        nodes_expected=2,
        nodes_reporting=1,
        missing=("tray-02",),
        drained=("tray-03",),
        gpus_expected=8,
        gpus_reporting=4,
        models=(),
        members=(
            MemberFigures(
                "tray-01",
                "http://tray-01:9744",
                up=True,
                tokens_per_second={output: 60_000.5},
                rate_to_median_ratio=0.96875,
                tokens_total={output: 4_000_000.0},
            ),
            MemberFigures("tray-02", "http://tray-02:9744", up=False, tokens_total={output: 1_000_000.0}),
            MemberFigures("tray-03", "http://tray-03:9744", up=True, drained=True),
        ),
        record=RecordFigures("azure-gb300-llama2-70b", "Azure", 1_100_948.3, 0.0545),
        deployments=(
            DeploymentFigures(
                "chat",
                "llama",
                gpus=8,
                nodes=2,
                tokens_per_second={output: 60_000.5},
                tokens_per_joule={(output, "gpu"): 12.5},
            ),
        ),
    )


@pytest.fixture
def service():
    """A model whose clients wait."""
    bounds, inf = (0.01, 0.025, 1.0), float("inf")
    first = Histogram((*bounds, inf), (2.0, 50.0, 99.0, 100.0), 12.5)
    return ServiceFigures(
        model='meta/"llama"\\70b\nfp4',
        window_seconds=60.0,
        latencies=(
            LatencyFigures(Latency.FIRST_TOKEN, 40.0, 0.125, {0.5: 0.025, 0.9: 0.8125}, 0.75),
            LatencyFigures(Latency.END_TO_END, 40.0, None, {0.5: 8.0, 0.9: 12.5, 0.99: 14.75}, None),
        ),
        goodput_ratio=(0.5, 0.75),
        goodput_requests_per_second=(0.3125, 0.5),
        cached_prompt_ratio=0.25,
        speculative_accepted_ratio=0.625,
        histograms={
            Latency.FIRST_TOKEN: first,
            Latency.INTER_TOKEN: Histogram((*bounds, inf), (0.0, 0.0, 0.0, 0.0), 0.0),
            Latency.END_TO_END: Histogram((1.0, inf), (0.0, 97.0), None),
            Latency.QUEUE: Histogram((1.0, inf), (97.0, 97.0), 0.5),
        },
    )


@pytest.fixture
def host():
    """A machine with a network card, an InfiniBand card whose link fails, and a GPU on half its lanes."""
    return HostFigures(
        stalled_seconds_total={("cpu", "some"): 12.5, ("memory", "some"): 3.25, ("memory", "full"): 0.0},
        clock=HostClock(synchronized=True, error_bound_seconds=0.015625, offset_seconds=-0.000244140625),
        cpu_steal_seconds_total=1.5,
        oom_kills_total=2.0,
        cpu_frequency_hertz={"min": 8.0e8, "mean": 2.4e9, "max": 3.3e9},
        interfaces=(
            LinkFigures(
                LinkReading("eth0", "", up=True, speed_bytes_per_second=12.5e9),
                {
                    "receive_errors": 3.0,
                    "transmit_errors": 0.0,
                    "receive_dropped": 4.0,
                    "transmit_dropped": 0.0,
                    "carrier_changes": 2.0,
                },
            ),
        ),
        ports=(
            LinkFigures(
                LinkReading("mlx5_0", "1", up=False, speed_bytes_per_second=50e9),
                {"symbol_error": 17.0, "link_downed": 1.0},
            ),
        ),
        pcie_links={"GPU-aa": PcieLink(8.0, 16.0, 16e9, 32e9)},
    )


@pytest.fixture
def snapshot(rack, host, service, well_gpu, lost_gpu, silent_gpu, serving_engine, silent_engine):
    return Snapshot(
        sequence=7,
        incidents=(power_capped("tray-07"), engine_down("tray-07")),
        incident_counts={
            ("node", "drop", "power_cap"): (2.0, 1_500_000.0),
            ("node", "drop", "engine_down"): (1.0, 2.44e6),
        },
        at=AT,
        node=NodeIdentity("tray-07", "r12", "1821", "6", "0f0e.0"),
        activity=Activity.SERVING,
        gpus=(well_gpu, lost_gpu, silent_gpu),
        owners=(GpuOwner("GPU-aa", namespace="serving", pod="llama-0"), GpuOwner("GPU-aa", job_id="4711")),
        engines=(serving_engine, silent_engine),
        boundaries=(
            BoundaryFigures("gpu", "nvml", 1033.5, 123_456.5),
            BoundaryFigures("module", "nvml", 2300.0, 250_000.0),
        ),
        tokens_per_second={TokenKind.OUTPUT: 1500.5, TokenKind.PROMPT: 9000.0},
        tokens_per_joule={(TokenKind.OUTPUT, "module"): 0.65},
        validity=(
            Validity("node_tokens_per_second", 10.0, frozenset(), frozenset({Flag.ON_FINISH}), 0.0005),
            Validity("node_tokens_per_joule_gpu", 10.0, frozenset({Invalid.MEMBER_MISSING})),
        ),
        outcomes=(
            Outcome("nvml", True, None, "", 0.004, 1_760_000_000.0, {}),
            Outcome("engines/127.0.0.1:8000", True, None, "", 0.011, 1_759_999_999.5, {}),
            Outcome(
                "engines/127.0.0.1:30000",
                False,
                Reason.UNREACHABLE,
                "refused",
                0.5,
                1_759_999_000.0,
                {Reason.UNREACHABLE: 4},
            ),
        ),
        environment=(
            EnvironmentReading(
                "bmc-07",
                Moment(1000.0, 1_760_000_000.0),
                {("intake", "Inlet_Temp_0"): 24.5, ("coolant_supply", "cdu/1"): 30.0},
                {"cdu/1": 2.0},
                {("supply", "cdu/1"): 250_000.0},
                {"cdu/1": 104_500.0},
                {"FAN1": 0.4},
                {"Manifold": LeakState.OK, "ColdPlate": LeakState.CRITICAL},
            ),
        ),
        costs={"nvml": {"nvmlDeviceGetFieldValues": Cost(100, 0.25)}},
        self_gauges={
            "state_writable": 1.0,
            "state_saved_timestamp_seconds": 1_759_999_990.0,
            "recordings_lost_total": 2.0,
            "config_reload_success": 1.0,
            "web_config_reload_success": 1.0,
        },
        version="0.1.0",
        revision="abc1234",
        models=(
            ModelFigures(
                'meta/"llama"\\70b\nfp4',
                {TokenKind.OUTPUT: 1500.5},
                {TokenKind.OUTPUT: 1_000_000.0, TokenKind.PROMPT: 9_000_000.0},
                {(TokenKind.OUTPUT, "module"): 0.65},
                1,
            ),
        ),
        deployments=(
            DeploymentFigures(
                "chat",
                "llama",
                gpus=1,
                tokens_per_second={TokenKind.OUTPUT: 1500.5},
                tokens_per_joule={(TokenKind.OUTPUT, "gpu"): 1.5},
                power_watts={"gpu": 1033.5},
                gpu_numbers=(0,),
                energy_joules_total={("gpu", "serving"): 120_000.5, ("gpu", "idle"): 0.0},
                running=12.0,
                waiting=3.0,
                kv_cache_usage_ratio=0.75,
                requests_finished_total={"succeeded": 97.0, "failed": 0.0, "aborted": 3.0},
            ),
        ),
        claims={0: Claim.ATTRIBUTED, 1: Claim.UNKNOWN},
        model_energy={("llama", "gpu"): 120_000.5},
        rack=rack,
        crosschecks={("module", "hwmon"): 2290.0},
        remainders=(Remainder("module", "gpu", 180.5, Validity("node_power_remainder_module", 10.0)),),
        meters={("hwmon", "module", "0"): True, ("hwmon", "module", "1"): False},
        site=SITE,
        parts=(PartFigures("grace", "0", "hwmon", 104.0, 520.5),),
        services=(service,),
        host=host,
        deployment_services={Group("chat", "llama"): service},
        pushes=(
            PushFigures(
                "otlp",
                {"delivered": 40, Reason.UNREACHABLE: 8},
                {Loss.OVERFLOW: 1_200},
                65_536,
                1_759_999_995.0,
            ),
        ),
        origin=Origin("boot", "run", "ledger", 1_750_000_000.0, 1_759_990_000.0),
    )
