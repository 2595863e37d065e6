"""Who may import whom, how long things may be, and that importing does nothing."""

import ast
import sys
from pathlib import Path

import pytest

import agent

HOUSE = Path(agent.__file__).parent.parent
FILES = sorted([*(HOUSE / "agent").rglob("*.py"), *(HOUSE / "exporters").rglob("*.py")])
MODULES = {
    path: ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__") for path in FILES
}
IMPURE = {"time", "asyncio", "logging", "os", "socket", "threading", "random"}
OWN_LIBRARIES = "*"

EVERYTHING = ("agent", "exporters", OWN_LIBRARIES)
FINDERS = (
    "agent.aside",
    "agent.measure",
    "agent.wire",
    "agent.plugins",
    "agent.discovery",
    OWN_LIBRARIES,
)
ROOMS = {
    "agent": (),
    "agent.measure": ("agent.measure",),
    "agent.diagnose": ("agent.measure", "agent.diagnose"),
    "agent.engines": ("agent.measure",),
    "agent.wire": ("agent.alarms", "agent.measure", "agent.small_file", "agent.wire", "httptools", "orjson"),
    "agent.alarms": (),
    "agent.aside": (),
    "agent.small_file": (),
    "agent.discovery": (
        "agent.aside",
        "agent.measure",
        "agent.small_file",
        "agent.wire",
        "agent.discovery",
        "orjson",
        "yaml",
    ),
    "agent.collectors": ("agent.aside", "agent.measure", "agent.small_file", "agent.wire", OWN_LIBRARIES),
    "agent.collectors.engines": FINDERS,
    "agent.collectors._engines": FINDERS,
    "agent.collectors.replay": (
        "agent.aside",
        "agent.diagnose",
        "agent.measure",
        "agent.recorder",
        "agent.small_file",
    ),
    "agent.collectors.peers": ("agent.measure", "agent.wire", "agent.discovery", OWN_LIBRARIES),
    "agent.collectors._peers": ("agent.measure", "agent.wire", "agent.discovery", OWN_LIBRARIES),
    "exporters": ("agent.measure", OWN_LIBRARIES),
    "exporters.alertmanager": ("agent.measure", "agent.wire", OWN_LIBRARIES),
    "exporters.webhook": ("agent.measure", "agent.wire", OWN_LIBRARIES),
    "exporters.otlp": ("agent.measure", "agent.wire", OWN_LIBRARIES),
    "exporters._otlp": ("agent.measure", OWN_LIBRARIES),
    "agent.web": ("agent.measure", "agent.small_file", "agent.wire", "agent.web", "aiohttp", "bcrypt"),
    "agent.twin": ("agent.measure", "agent.twin", "agent.binding", "aiohttp", "orjson"),
    "agent.demo_folder": (),
    "agent.demo": (
        "agent.demo_folder",
        "agent.cli",
        "agent.config",
        "agent.daemon",
        "agent.plugins",
        "agent.twin",
    ),
    "agent.top": ("agent.measure", "agent.wire", "agent.top"),
    "agent.top.app": ("agent.measure", "agent.wire", "agent.top", "rich", "textual"),
    "agent.loop": ("agent.alarms", "agent.measure"),
    "agent.plugins": ("agent.measure",),
    "agent.store": ("agent.measure", "agent.small_file", "orjson"),
    "agent.push": ("agent.measure",),
    "agent.gather": ("agent.alarms", "agent.loop", "agent.measure"),
    "agent.incident_desk": ("agent.diagnose", "agent.measure", "agent.wire"),
    "agent.recorder": ("agent.diagnose", "agent.measure", "agent.recorder", "agent.wire", "orjson"),
    "agent.explain": (
        "agent.diagnose",
        "agent.explain",
        "agent.measure",
        "agent.recorder",
        "agent.small_file",
        "agent.top",
        "agent.wire",
        "orjson",
    ),
    "agent.incident_files": ("agent.small_file", "agent.store"),
    "agent.flight": (
        "agent.boot",
        "agent.diagnose",
        "agent.incident_files",
        "agent.measure",
        "agent.recorder",
    ),
    "agent.authorities": (),
    "agent.boot": (),
    "agent.systemd": (),
    "agent.garbage": (),
    "agent.logs": (),
    "agent.reckoners": ("agent.__version__", "agent.boot", "agent.config", "agent.measure"),
    "agent.rack_desk": ("agent.measure", "agent.store"),
    "agent.binding": ("agent.measure.settings", "agent.small_file", "yaml"),
    "agent.config": (
        "agent.binding",
        "agent.plugins",
        "agent.measure.settings",
        "agent.measure.records",
        "agent.measure.recorder_settings",
        "agent.measure.gpu_sources",
        "agent.measure.site",
        "agent.measure.slo",
        "agent.wire.member_settings",
        "yaml",
    ),
    "agent.table": ("agent.measure",),
    "agent.dashboards": ("agent.binding", "yaml"),
    "agent.doctor": ("agent.config", "agent.plugins", "agent.measure", "agent.store"),
    "agent.listener": ("agent.binding", "agent.config", "agent.web", "aiohttp"),
    "agent.daemon": EVERYTHING,
    "agent.cli": EVERYTHING,
}


def imported(path):
    """Everything a file imports, wherever in it: also inside functions and for type checking only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, room):
    return name == room or name.startswith(f"{room}.")


def allowed(module, name):
    """Tell whether a module may import a name."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return not (within(module, "agent.measure") and top in IMPURE)
    room = max((room for room in ROOMS if within(module, room)), key=len)
    if OWN_LIBRARIES in ROOMS[room] and top not in {"agent", "exporters"}:
        return True
    return any(within(name, other) for other in (*ROOMS[room], private_package(module)))


def private_package(module):
    """The package beside a plug-in that is its own."""
    for home in ("agent.collectors.", "exporters."):
        if module.startswith(home):
            return f"{home}_" + module.removeprefix(home).split(".")[0].lstrip("_")
    return module


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_there_are_files_to_look_at():
    assert {"agent.measure.node", "agent.collectors.nvml", "exporters.prometheus"} <= set(MODULES.values())


def test_every_file_belongs_to_a_room_of_its_own():
    homeless = [
        module
        for module in MODULES.values()
        if module != "agent" and not any(within(module, room) for room in ROOMS.keys() - {"agent"})
    ]

    assert homeless == []


@pytest.mark.parametrize("path", FILES, ids=MODULES.values())
def test_a_file_imports_only_what_its_room_may(path):
    wrong = [name for name in imported(path) if not allowed(MODULES[path], name)]

    assert wrong == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("agent.measure.node", "time"),
        ("agent.measure.node", "orjson"),
        ("agent.measure.node", "agent.wire.page"),
        ("agent.engines.vllm", "agent.engines.sglang"),
        ("agent.engines.vllm", "agent.wire.page"),
        ("agent.wire.http", "agent.collectors.nvml"),
        ("agent.collectors.nvml", "agent.collectors.engines"),
        ("agent.collectors.nvml", "agent.plugins"),
        ("agent.collectors.dcgm", "agent.collectors._nvml.library"),
        ("exporters.prometheus", "exporters.otlp"),
        ("exporters.prometheus", "exporters._dcgm_names.fields"),
        ("exporters.prometheus", "agent.wire.codec"),
        ("exporters.prometheus", "exporters._otlp.names"),
        ("exporters._otlp.points", "agent.wire.http"),
        ("agent.push", "exporters.otlp"),
        ("agent.store", "agent.loop"),
        ("agent.config", "agent.measure.node"),
        ("agent.logs", "agent.measure.node"),
        ("agent.top.command", "textual"),
        ("agent.top.app", "agent.collectors.nvml"),
        ("agent.twin.tray", "agent.collectors.twin"),
        ("agent.collectors.twin", "agent.twin.tray"),
    ],
)
def test_the_table_forbids(module, name):
    assert not allowed(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("agent.collectors._nvml.device", "agent.collectors._nvml.library"),
        ("agent.collectors.nvml", "agent.collectors._nvml"),
        ("agent.collectors.engines", "agent.plugins"),
        ("agent.daemon", "exporters.prometheus"),
        ("exporters.prometheus", "prometheus_client"),
        ("exporters.otlp", "exporters._otlp.points"),
        ("exporters.otlp", "agent.wire.http"),
        ("exporters.dcgm_names", "exporters._dcgm_names.fields"),
        ("agent.wire.http", "time"),
    ],
)
def test_the_table_permits(module, name):
    assert allowed(module, name)


@pytest.mark.parametrize("path", FILES, ids=MODULES.values())
def test_no_function_is_longer_than_forty_lines(path):
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions(path)}

    assert {name: lines for name, lines in long.items() if lines > 40} == {}


@pytest.mark.parametrize("path", FILES, ids=MODULES.values())
def test_no_file_is_longer_than_four_hundred_lines(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= 400


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=str)
def test_importing_a_package_does_nothing(path):
    def harmless(node):
        if isinstance(node, ast.Assign):
            return ast.unparse(node.targets[0]) == "__version__" and isinstance(node.value, ast.Constant)
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    assert [ast.unparse(node) for node in ast.parse(path.read_text()).body if not harmless(node)] == []


@pytest.mark.parametrize("path", FILES, ids=MODULES.values())
def test_importing_a_module_only_defines(path):
    calls = [
        ast.unparse(node)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        if not MODULES[path].endswith("__main__")
    ]

    assert calls == []
