"""The physics of the twin: exact, the same for any way of asking, and as a rack behaves."""

import pytest

from agent.twin.grid import NANO, STEP_NS
from agent.twin.rack import TooFarError

BUSY = "load: {level: 0.9}\n"
TENSOR = "rack: {trays: 1, tokens_per_second: 1000, parallel: tensor}\n"
EVENTFUL = """
load: {level: 0.9, wave: {share: 0.1, period: 20s}, noise: 0.05}
events:
  - {kind: thermal, at: 5s, lasts: 20s, degrees: 45}
  - {kind: engine_crash, at: 30s, lasts: 3s}
  - {kind: power_cap, at: 40s, lasts: 5s, watts: 700}
"""


def told(tray, rest_ns):
    return (
        [gpu.energy_at_pj(rest_ns) for gpu in tray.gpus],
        [engine.tokens(rest_ns) for engine in tray.engines],
        [gpu.celsius for gpu in tray.gpus],
        [engine.queue_pt for engine in tray.engines],
    )


def test_big_and_small_strides_lead_to_the_very_same_numbers(rack_of):
    big, small = rack_of(EVENTFUL), rack_of(EVENTFUL)
    at = 60 * NANO + 12_345_678
    for moment in range(0, at, 37_000_001):
        small.tray(0, moment)

    assert told(*big.tray(0, at)) == told(*small.tray(0, at))


def test_the_past_is_remembered_as_it_was(rack_of):
    rack = rack_of(EVENTFUL)
    at = 33 * NANO + 7
    then = told(*rack.tray(0, at))
    rack.tray(0, 300 * NANO)

    assert told(*rack.recalled(0, at)) == then


def test_the_future_is_foretold_without_living_it(rack_of):
    rack = rack_of(EVENTFUL)
    foretold = told(*rack.recalled(0, 50 * NANO))

    assert rack.tray(0, NANO)[0].step == 10
    assert told(*rack.tray(0, 50 * NANO)) == foretold


def test_what_is_too_long_ago_is_refused(rack_of):
    rack = rack_of()
    rack.tray(0, 3600 * NANO)

    with pytest.raises(TooFarError, match="nothing is remembered before 1810 s"):
        rack.recalled(0, NANO)


def test_energy_is_the_integral_of_power_to_the_picojoule(rack_of):
    rack = rack_of(EVENTFUL)
    total = 0
    for step in range(600):
        total += rack.tray(0, step * STEP_NS)[0].gpus[2].power_mw * STEP_NS

    assert rack.tray(0, 600 * STEP_NS)[0].gpus[2].energy_at_pj(0) == total


def test_within_a_step_energy_and_tokens_grow_in_a_straight_line(rack_of):
    tray, _ = rack_of(BUSY).tray(0, 10 * NANO)
    gpu, engine = tray.gpus[0], tray.engines[0]

    assert gpu.energy_at_pj(STEP_NS // 2) - gpu.energy_pj == gpu.power_mw * STEP_NS // 2
    assert engine.tokens(STEP_NS)[0] - engine.tokens(0)[0] == 90


def test_counters_never_fall(rack_of):
    rack = rack_of("load: {level: 0.8, noise: 0.5}\n")
    last = ([0] * 4, 0)
    for moment in range(0, 20 * NANO, 33_333_333):
        tray, rest = rack.tray(0, moment)
        now = ([gpu.energy_at_pj(rest) for gpu in tray.gpus], tray.engines[0].counters(rest)[0])
        assert now >= last
        last = now


def test_the_seed_alone_decides_what_looks_random(rack_of):
    def energy(seed):
        return (
            rack_of(f"seed: {seed}\nload: {{level: 0.5, noise: 0.2}}\n")
            .tray(0, 30 * NANO)[0]
            .gpus[0]
            .energy_pj
        )

    assert energy(1) == energy(1)
    assert energy(1) != energy(2)


def test_an_idle_tray_is_as_the_captures_tell(rack_of, tray_after):
    tray = tray_after(rack_of("load: {level: 0}\n"), 60)

    assert all(175_800 <= gpu.mean_mw(0) <= 180_200 for gpu in tray.gpus)
    assert all(38.0 <= gpu.celsius <= 39.2 for gpu in tray.gpus)
    assert sum(gpu.mean_mw(0) for gpu in tray.gpus[:2]) + tray.modules[0].mean_mw(0) == pytest.approx(
        486_000, rel=0.01
    )


def test_the_mean_lags_the_power_by_up_to_a_second(rack_of):
    rack = rack_of("load: {stretches: [{lasts: 10s, level: 0}, {lasts: 60s, level: 1}]}\n")
    gpu = rack.tray(0, 10 * NANO)[0].gpus[0]
    idle, busy = gpu.recent_mw[0], gpu.power_mw

    assert busy > 1_200_000
    assert gpu.mean_mw(0) == idle
    assert rack.tray(0, 10 * NANO + NANO // 2)[0].gpus[0].mean_mw(0) == (idle + busy) // 2
    assert rack.tray(0, 11 * NANO)[0].gpus[0].mean_mw(0) == busy


def test_hot_coolant_lowers_clocks_and_tokens_and_queues_build(rack_of, tray_after):
    rack = rack_of(BUSY + "events: [{kind: thermal, at: 20s, degrees: 40}]\n")
    before = tray_after(rack, 19)
    cool = (before.gpus[0].clock_share, before.engines[0].rates_mtps[0], before.engines[0].waiting)
    hot = tray_after(rack, 80)

    assert cool == (1.0, 900_000, 0)
    assert "sw_thermal_slowdown" in hot.gpus[0].reasons
    assert hot.gpus[0].clock_share < 0.8
    assert hot.engines[0].rates_mtps[0] < 850_000
    assert hot.engines[0].waiting > 0
    assert hot.gpus[0].held_ns[1] > 30 * NANO


def test_much_hotter_coolant_makes_the_hardware_slow_down(rack_of, tray_after):
    rack = rack_of(BUSY + "events: [{kind: thermal, at: 1s, degrees: 60, gpus: [1]}]\n")
    tray = tray_after(rack, 60)

    assert {"hw_slowdown", "hw_thermal_slowdown"} <= set(tray.gpus[1].reasons)
    assert tray.gpus[0].reasons == ()


def test_a_power_cap_is_kept_and_told(rack_of, tray_after):
    tray = tray_after(rack_of(BUSY + "events: [{kind: power_cap, at: 5s, watts: 700}]\n"), 30)

    assert all(gpu.power_mw <= 700_000 for gpu in tray.gpus)
    assert all(gpu.reasons == ("sw_power_cap",) for gpu in tray.gpus)
    assert tray.engines[0].rates_mtps[0] < 850_000


def test_a_power_brake_is_told_as_the_driver_does(rack_of, tray_after):
    tray = tray_after(rack_of(BUSY + "events: [{kind: power_brake, at: 5s}]\n"), 10)

    assert tray.gpus[0].reasons == ("hw_slowdown", "hw_power_brake_slowdown")
    assert tray.engines[0].rates_mtps[0] == 520_000


def test_a_lost_gpu_costs_its_share_where_each_has_a_copy(rack_of, tray_after):
    tray = tray_after(rack_of("load: {level: 1}\nevents: [{kind: gpu_lost, at: 5s, gpus: [2]}]\n"), 10)

    assert [gpu.lost for gpu in tray.gpus] == [False, False, True, False]
    assert [xid for _, xid in tray.gpus[2].xids] == [79]
    assert tray.engines[0].rates_mtps[0] == 750_000


def test_a_lost_gpu_ends_an_engine_that_is_spread_over_all(rack_of, tray_after):
    tray = tray_after(rack_of("events: [{kind: gpu_lost, at: 5s, gpus: [2]}]\n", TENSOR), 10)

    assert tray.engines[0].down


def test_a_lost_gpu_comes_back_with_its_counters_at_zero(rack_of, tray_after):
    rack = rack_of("events: [{kind: gpu_lost, at: 5s, lasts: 5s}]\n")
    gpu = tray_after(rack, 10).gpus[0]

    assert not gpu.lost
    assert gpu.energy_pj == gpu.energy_base_pj > 0


def test_the_slowest_gpu_sets_the_pace_of_a_model_that_is_spread_over_all(rack_of, tray_after):
    tray = tray_after(rack_of("events: [{kind: straggler, at: 5s, gpus: [3], factor: 0.5}]\n", TENSOR), 30)

    assert tray.engines[0].rates_mtps[0] == 600_000
    assert tray.gpus[3].reasons == ()
    assert tray.gpus[0].activity == pytest.approx(0.6)
    assert tray.gpus[3].activity == 1.0


def test_slow_links_are_felt_by_a_model_that_is_spread_over_all(rack_of, tray_after):
    tray = tray_after(rack_of("events: [{kind: nvlink, at: 5s, factor: 0.5}]\n", TENSOR), 30)

    assert tray.engines[0].rates_mtps[0] == 500_000
    assert [xid for _, xid in tray.gpus[0].xids] == [149]


def test_a_restart_counts_from_zero_and_loses_nothing_that_was_made(rack_of, tray_after):
    rack = rack_of("load: {level: 1}\nevents: [{kind: engine_restart, at: 5s, lasts: 3s}]\n")
    down = tray_after(rack, 6).engines[0]
    assert down.down
    assert down.tokens(0)[0] == 5_000

    back = tray_after(rack, 9).engines[0]

    assert back.starts == 2
    assert back.started_step == 80
    assert back.counters(0)[0] == 1_000
    assert back.tokens(0)[0] == 6_000


def test_a_stalled_engine_has_requests_and_makes_nothing(rack_of, tray_after):
    rack = rack_of(BUSY + "events: [{kind: engine_stall, at: 5s}]\n")
    tray = tray_after(rack, 15)
    engine = tray.engines[0]

    assert engine.rates_mtps[0] == 0
    assert engine.running > 0
    assert engine.waiting == 32  # 10 s of 900 tokens, 273 each
    assert 300_000 < tray.gpus[0].power_mw < 600_000


def test_a_full_cache_shrinks_batches_and_preempts(rack_of, tray_after):
    tray = tray_after(rack_of(BUSY + "events: [{kind: kv_saturation, at: 5s, factor: 0.5}]\n"), 20)
    engine = tray.engines[0]

    assert engine.cache == pytest.approx(0.995)
    assert engine.rates_mtps[0] == 500_000
    assert engine.preempted_pt > 0
    assert engine.waiting > 0


def test_longer_prompts_leave_less_for_output(rack_of, tray_after):
    rack = rack_of("load: {level: 1}\nevents: [{kind: prefill_shift, at: 5s, factor: 4}]\n")
    usual, long = tray_after(rack, 4).engines[0].rates_mtps, None
    long = tray_after(rack, 10).engines[0].rates_mtps

    assert usual[:2] == (1_000_000, 938_000)
    assert long[0] == 689_655
    assert long[1] / long[0] == pytest.approx(4 * usual[1] / usual[0], rel=1e-3)


def test_a_tray_that_is_off_draws_nothing_and_boots_anew(rack_of, tray_after):
    rack = rack_of(BUSY + "events: [{kind: node_down, at: 5s, lasts: 5s}]\n")
    off = tray_after(rack, 8)
    assert [gpu.power_mw for gpu in off.gpus] == [0, 0, 0, 0]
    assert off.engines[0].down
    joules = off.gpus[0].energy_pj

    back = tray_after(rack, 10)

    assert back.gpus[0].energy_pj == back.gpus[0].energy_base_pj == joules
    assert back.engines[0].starts == 2


def test_a_queue_is_bounded_and_empties_when_capacity_is_back(rack_of, tray_after):
    rack = rack_of(
        "load: {level: 0.5}\nevents: [{kind: engine_stall, at: 1s, lasts: 5s}]\n",
        "rack: {trays: 1, tokens_per_second: 1000, queue: 4}\n",
    )

    assert tray_after(rack, 5.9).engines[0].waiting == 4
    assert tray_after(rack, 10).engines[0].waiting == 0


def test_demand_may_fall_without_a_fault(rack_of, tray_after):
    tray = tray_after(rack_of("load: {level: 1}\nevents: [{kind: demand, at: 5s, factor: 0.2}]\n"), 10)

    assert tray.engines[0].rates_mtps[0] == 200_000
    assert tray.gpus[0].utilization == pytest.approx(0.2)


def test_an_event_may_come_again_and_again(rack_of, tray_after):
    rack = rack_of("events: [{kind: demand, at: 5s, lasts: 2s, every: 10s, factor: 0}]\n")

    assert [tray_after(rack, at).engines[0].rates_mtps[0] for at in (4, 6, 8, 16, 18)] == [
        1_000_000,
        0,
        1_000_000,
        0,
        1_000_000,
    ]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("{level: 0.25}", [250, 250, 250]),
        ("{stretches: [{lasts: 5s, level: 0.1}, {lasts: 10s, level: 0.2, to: 0.6}]}", [100, 400, 600]),
        ("{stretches: [{lasts: 4s, level: 0.1}, {lasts: 4s, level: 0.2}], repeat: true}", [100, 100, 200]),
        ("{level: 0.5, wave: {share: 1, period: 40s}}", [500, 1000, 500]),
    ],
)
def test_load_follows_its_profile(rack_of, tray_after, load, expected):
    rack = rack_of(f"load: {load}\n")

    assert [round(tray_after(rack, at).engines[0].offered_mtps / 1000) for at in (0, 10, 20)] == expected
