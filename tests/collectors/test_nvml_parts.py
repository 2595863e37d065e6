"""The parts of the NVML collector that need no driver: numbers, bytes, paces, and a GPU of answers."""

import math
import struct
from types import SimpleNamespace

import pynvml
import pytest

from agent.collectors._nvml import fields, often
from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.device import Device, Rates
from agent.collectors._nvml.fields import Field
from agent.collectors._nvml.library import Code, Refusal, failure
from agent.collectors._nvml.pace import Pace
from agent.collectors.nvml import Settings
from agent.measure.gpu import GpuState, Power, PowerScope
from agent.measure.gpu_clocks import reasons_of
from agent.measure.reading import Reason
from agent.measure.settings import documented

DOUBLE, UINT, ULL = 0, 1, 3


class Answers:
    """Stands for the library: what each function and each (field, scope) answers."""

    pynvml = pynvml

    def __init__(self, functions=None, fields=None, call_code=0):
        self.functions = functions or {}
        self.fields = fields or {}
        self.call_code = call_code
        self.asked = []

    def call(self, function, *arguments):
        self.asked.append(function)
        answer = self.functions.get(function, Code.NOT_SUPPORTED)
        if isinstance(answer, Code):
            raise Refusal(answer, function)
        return answer(*arguments) if callable(answer) else answer

    def bare(self, function, handle, *arguments):
        where = arguments[-1]._obj

        def field_values():
            for entry in where:
                kind, value, code = self.fields.get((entry.fieldId, entry.scopeId), (UINT, 0, 3))
                entry.valueType, entry.nvmlReturn = kind, code
                setattr(entry.value, {DOUBLE: "dVal", UINT: "uiVal", ULL: "ullVal"}[kind], value)
            if self.call_code:
                raise Refusal(self.call_code, function)

        def number():
            where.value = self.call(function, handle, *(each.value for each in arguments[:-1]))

        def rates():
            told = self.call(function, handle)
            where[:] = told.gpu, told.memory

        if function == "nvmlDeviceGetFieldValues":
            return field_values
        return rates if function == "nvmlDeviceGetUtilizationRates" else number


WATTS = {(185, 0): (UINT, 350_500, 0), (186, 0): (UINT, 400_000, 0)}
ENERGY = {(83, 0): (ULL, 5_000_500, 0)}
IDENTITY = {"nvmlDeviceGetHandleByIndex": object(), "nvmlDeviceGetUUID": "GPU-1"}


def device(functions=None, values=None, **rates):
    answers = Answers(IDENTITY | (functions or {}), WATTS | ENERGY if values is None else values)
    return answers, Device(answers, 0, "580.173.02", Rates(1, 1, 1, 15, 1, **rates), None)


def batch(values, *wanted):
    return Batch(Answers(fields=values), None, wanted)


VALUE = Field("x", None, 1, 0, 1000)


# ---- functions that are asked each second


class Silent(Answers):
    """A driver that answers success and writes nothing."""

    def bare(self, function, handle, *arguments):
        return lambda: None


@pytest.mark.parametrize(
    "way", [often.utilization, often.temperature, often.temperature_old, often.clock("sm")]
)
def test_what_a_driver_leaves_unwritten_is_absent_and_never_what_it_said_before(way):
    assert {value for _, _, value in way(Silent(), None)()} == {None}


# ---- field values


def test_field_values_are_converted_by_their_own_type():
    assert batch({(1, 0): (ULL, 5_000_500, 0)}, VALUE).ask() == ([5000.5], (0,))


def test_a_value_type_that_changes_is_learned_again():
    answers = Answers(fields={(1, 0): (UINT, 1500, 0)})
    asked = Batch(answers, None, (VALUE,))
    asked.ask()
    answers.fields[1, 0] = (DOUBLE, 2500.0, 0)

    assert asked.ask() == ([2.5], (0,))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(UINT, 0xFFFFFFFF), (ULL, 2**64 - 1), (ULL, 0x7FFFFFFFFFFFFFF0), (DOUBLE, math.nan)],
)
def test_sentinels_are_absent_t11(kind, value):
    assert batch({(1, 0): (kind, value, 0)}, VALUE).ask()[0] == [None]


def test_an_entry_that_failed_is_absent_whatever_value_is_left_in_it():
    assert batch({(1, 0): (UINT, 77, 999)}, VALUE).ask() == ([None], (999,))


def test_an_entry_that_the_driver_does_not_write_is_a_failure():
    answers = Answers(fields={(1, 0): (UINT, 1500, 0)})
    asked = Batch(answers, None, (VALUE,))
    asked._call = lambda: None

    assert asked.ask() == ([None], (Code.UNKNOWN,))


def test_a_probe_keeps_what_works():
    other = Field("y", None, 2, 0, 1)
    kept, refused = batch({(1, 0): (UINT, 0, 0), (2, 0): (UINT, 0, 4)}, VALUE, other).probe()

    assert list(kept) == [VALUE]
    assert refused == {other: Code.NO_PERMISSION}


def test_a_batch_refused_for_one_argument_is_probed_singly():
    answers = Answers(fields={(1, 0): (UINT, 5, 0)}, call_code=Code.INVALID_ARGUMENT)
    whole = Batch(answers, None, (VALUE, Field("y", None, 2, 0, 1)))
    asked = Batch.ask

    def only_alone(self):
        answers.call_code = 0 if self.fields == (VALUE,) else Code.INVALID_ARGUMENT
        return asked(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "ask", only_alone)
        kept, refused = whole.probe()

    assert kept == [VALUE]
    assert list(refused.values()) == [Code.INVALID_ARGUMENT]


# ---- one GPU


def test_power_and_energy_are_in_watts_and_joules():
    _, gpu = device()
    result = gpu.read()

    assert result.values["power"] == {PowerScope.GPU: Power(350.5, 400.0)}
    assert result.values["energy_joules"] == 5000.5


def test_a_gpu_without_gpu_scope_keeps_to_its_module():
    answers, gpu = device({"nvmlDeviceGetPowerUsage": 600_000}, ENERGY | {(185, 1): (UINT, 600_000, 0)})
    result = gpu.read()

    assert result.values["power"] == {PowerScope.MODULE: Power(600.0, None)}
    assert "nvmlDeviceGetPowerUsage" not in answers.asked


def test_memory_power_of_zero_is_not_supported():
    _, gpu = device(values=WATTS | ENERGY | {(185, 2): (UINT, 0, 0)})

    assert set(gpu.read().values["power"]) == {PowerScope.GPU}


def test_an_a100_has_instant_power_only():
    answers, gpu = device(
        {
            "nvmlDeviceGetPowerUsage": 250_000,
            "nvmlDeviceGetArchitecture": 7,
            "nvmlDeviceGetCudaComputeCapability": (8, 0),
        },
        ENERGY,
    )

    assert gpu.read().values["power"] == {PowerScope.GPU: Power(None, 250.0)}
    assert "nvmlDeviceGetPowerUsage" in answers.asked


def test_an_old_gpu_without_energy_has_none():
    _, gpu = device(values=WATTS)

    assert "energy_joules" not in gpu.read().values


def test_utilization_of_a_gpu_divided_by_mig_is_absent():
    rates = SimpleNamespace(gpu=0, memory=0)
    _, gpu = device({"nvmlDeviceGetUtilizationRates": rates, "nvmlDeviceGetMigMode": [1, 1]})

    assert {"utilization_ratio", "memory_busy_ratio"} & gpu.read().values.keys() == set()


def test_utilization_of_an_undivided_gpu_is_a_ratio():
    rates = SimpleNamespace(gpu=37, memory=0xFFFFFFFF)
    _, gpu = device({"nvmlDeviceGetUtilizationRates": rates, "nvmlDeviceGetMigMode": [0, 1]})
    values = gpu.read().values

    assert values["utilization_ratio"] == 0.37
    assert "memory_busy_ratio" not in values


def test_the_load_of_the_video_engines_is_a_ratio():
    _, gpu = device(
        {"nvmlDeviceGetEncoderUtilization": [12, 167_000], "nvmlDeviceGetDecoderUtilization": [0, 167_000]}
    )
    values = gpu.read().values

    assert (values["encoder_busy_ratio"], values["decoder_busy_ratio"]) == (0.12, 0.0)


def test_a_blank_clock_is_absent_t11():
    _, gpu = device({"nvmlDeviceGetClockInfo": lambda _, kind: 0xFFFFFFFF if kind == 3 else 1000})

    assert set(gpu.read().values["clock_hertz"]) == {"graphics", "sm", "memory"}


def test_a_gpu_whose_every_fast_value_fails_is_failed():
    answers, gpu = device()
    gpu.read()
    answers.fields = dict.fromkeys(WATTS | ENERGY, (UINT, 0, 999))

    assert gpu.read().state is GpuState.FAILED


def test_a_gpu_whose_entries_say_lost_is_lost():
    answers, gpu = device()
    gpu.read()
    answers.fields = dict.fromkeys(WATTS | ENERGY, (UINT, 0, 15))

    assert gpu.read().state is GpuState.LOST


def test_a_gpu_that_must_be_reset_tells_its_recovery_action():
    answers, gpu = device(values=WATTS | ENERGY | {(230, 0): (UINT, 0, 0)})
    gpu.read()
    answers.fields = dict.fromkeys(WATTS | ENERGY, (UINT, 0, 16)) | {(230, 0): (UINT, 4, 0)}
    result = gpu.read()

    assert result.state is GpuState.RESET_REQUIRED
    assert result.values == {"recovery_action": "drain_and_reset"}


def test_what_is_asked_beside_the_recovery_action_is_not_taken_for_it():
    answers, gpu = device(values=WATTS | ENERGY | {(94, 0): (UINT, 7, 0)})
    told = gpu.read().values["pcie_replays"]
    answers.fields = dict.fromkeys(WATTS | ENERGY, (UINT, 0, 16)) | {(94, 0): (UINT, 7, 0)}

    assert told == 7
    assert gpu.read().values == {}


def test_what_ends_the_session_is_raised():
    answers, gpu = device()
    gpu.read()
    answers.call_code = Code.DRIVER_NOT_LOADED

    with pytest.raises(Refusal):
        gpu.read()


def test_fabric_info_of_an_older_driver_is_asked_in_its_version():
    def fabric(_, pointer):
        raw = bytes(pointer._obj)
        if struct.unpack_from("<I", raw)[0] != 0x02000024:
            raise Refusal(Code.ARGUMENT_VERSION_MISMATCH, "nvmlDeviceGetGpuFabricInfoV")
        pointer._obj.state = 3
        pointer._obj.cliqueId = 7
        pointer._obj.clusterUuid[:] = [0x80] * 16

    _, gpu = device({"nvmlDeviceGetGpuFabricInfoV": fabric})

    assert gpu.read().values["placement"].clique == 7


# ---- numbers


@pytest.mark.parametrize(
    ("version", "first"),
    [("575.57.08", 251), ("580.65.06", 251), ("580.82.07", 269), ("580.173.02", 269), ("615.1", 269)],
)
def test_moved_field_ids_follow_the_driver_t14(version, first):
    told = {field.key: field.number for field in fields.throttle_fields(version)}

    assert told["sw_thermal_slowdown"] == first
    assert told["hw_thermal_slowdown"] == first + 1
    assert told["hw_power_brake_slowdown"] == first + 2


@pytest.mark.parametrize("version", ["570.133.20", "550.54", "", "unknown"])
def test_drivers_before_the_move_have_none_of_them_t14(version):
    assert {field.number for field in fields.throttle_fields(version)} == {74, 75, 76, 77, 78, 79, 81}


def test_reasons_are_named_and_idle_is_none():
    assert reasons_of(0x1) == frozenset()
    assert reasons_of(0x1 | 0x4 | 0x40) == {"sw_power_cap", "hw_thermal_slowdown"}
    assert reasons_of(1 << 13) == {"bit_13"}


def test_recovery_actions_are_named():
    assert fields.recovery_action(0.0) == "none"
    assert fields.recovery_action(2.0) == "node_reboot"
    assert fields.recovery_action(99.0) == "action_99"


# ---- pace


def test_a_cheap_group_keeps_its_period():
    pace = Pace(1.0, 0.02)
    pace.spent(100.0, 0.001)

    assert pace.period_seconds == 1.0
    assert not pace.due(100.5)
    assert pace.due(101.0)


def test_a_dear_group_takes_no_more_than_its_share():
    pace = Pace(1.0, 0.02)
    pace.spent(100.0, 0.1)

    assert pace.period_seconds == pytest.approx(5.0)


def test_late_ticks_do_not_shift_the_period():
    pace = Pace(1.0, 0.02, slack_seconds=0.4)
    pace.spent(100.0, 0.001)
    pace.spent(101.3, 0.001)

    assert pace.due(102.0)
    assert not pace.due(101.5)


def test_early_ticks_do_not_shorten_a_lengthened_period():
    pace = Pace(1.0, 0.1, slack_seconds=0.4)
    runs = 0
    for second in range(130):
        if pace.due(second):
            pace.spent(second, 0.13)
            runs += 1

    assert runs == pytest.approx(100, abs=2)


def test_one_dear_run_changes_nothing():
    pace = Pace(1.0, 0.02)
    for cost in (0.001, 0.001, 0.5, 0.001):
        pace.spent(100.0, cost)

    assert pace.period_seconds == 1.0


def test_the_longest_period_is_bounded_but_never_below_the_configured_one():
    quick, lazy = Pace(1.0, 0.001), Pace(120.0, 0.001)
    quick.spent(0.0, 10.0)
    lazy.spent(0.0, 10.0)

    assert quick.period_seconds == 60.0
    assert lazy.period_seconds == 120.0


# ---- words


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Code.LIBRARY_NOT_FOUND, Reason.UNSUPPORTED),
        (Code.FUNCTION_NOT_FOUND, Reason.UNSUPPORTED),
        (Code.DRIVER_NOT_LOADED, Reason.UNREACHABLE),
        (Code.LIB_RM_VERSION_MISMATCH, Reason.LIBRARY_MISMATCH),
        (Code.NO_PERMISSION, Reason.DENIED),
        (Code.UNKNOWN, Reason.UNREACHABLE),
    ],
)
def test_every_refusal_has_a_reason(code, reason):
    assert failure(Refusal(code, "nvmlInitWithFlags")).reason is reason


def test_every_setting_is_documented():
    assert all(documented(setting) for setting in Settings.__dataclass_fields__.values())
