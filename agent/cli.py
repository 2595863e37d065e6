"""The door: `rackwatt COMMAND`. Data to stdout, logs to stderr; exit 0 fine, 1 found wrong, 2 used wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__, authorities, binding, config, logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.config import Config
    from agent.measure.snapshot import Snapshot
    from agent.twin.scenario import Scenario

FINE, FOUND_WRONG, USED_WRONG = 0, 1, 2
TWIN_LISTEN = "127.0.0.1:9745"
DEMO_LISTEN = "127.0.0.1:9744"
LAST_PORT = 65535
LOG_LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logs.configure(options.log_level)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except binding.ConfigError as error:
        print(f"rackwatt: {error}", file=sys.stderr)
        return USED_WRONG
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rackwatt",
        description="Live tokens per second and tokens per joule of GPU nodes that serve language models.",
    )
    parser.add_argument("--version", action="version", version=f"rackwatt {__version__}")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, help_text in (
        ("run", _run, "run the agent"),
        ("once", _once, "read everything for a moment and print it"),
        ("doctor", _doctor, "look at what there is, what is missing, and how to mend it"),
    ):
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.add_argument(
            "--config", type=Path, metavar="FILE", help=f"default: {config.DEFAULT_PATH} if it exists"
        )
        sub.set_defaults(command=command)
        if name == "once":
            sub.add_argument("--json", action="store_true", help="print the whole snapshot as JSON")
            sub.add_argument(
                "--seconds", type=float, default=4.0, help="how long to read (default: %(default)s)"
            )
    check = commands.add_parser("check", help="check a configuration file")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_check)
    metrics = commands.add_parser("metrics", help="list every metric")
    metrics.set_defaults(command=_metrics)
    _add_top(commands)
    _add_explain(commands)
    _add_twin(commands)
    _add_demo(commands)
    _add_dashboards(commands)
    return parser


def _add_dashboards(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "write Grafana boards, Prometheus rules, alerts and scrape configurations"
    dashboards = commands.add_parser("dashboards", help=text, description=text)
    asked = dashboards.add_mutually_exclusive_group(required=True)
    asked.add_argument("--out", type=Path, metavar="DIR", help="where to write them")
    asked.add_argument("--list", action="store_true", help="list the parameters, their values and meaning")
    dashboards.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a parameter"
    )
    dashboards.set_defaults(command=_dashboards)


def _add_twin(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "simulate a rack: GPUs and engines over HTTP, with known ground truth"
    twin = commands.add_parser("twin", help=text, description=text)
    _add_scenario(twin)
    twin.add_argument(
        "--listen", default=TWIN_LISTEN, metavar="ADDRESS:PORT", help="default: %(default)s; port 0 is any"
    )
    twin.add_argument("--trays", type=int, metavar="N", help="simulate only the first N trays")
    twin.add_argument("--list", action="store_true", help="list the shipped scenarios")
    twin.set_defaults(command=_twin)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "watch a simulated rack: the twin, one daemon for each tray, one for the rack, and its live page"
    demo = commands.add_parser("demo", help=text, description=text)
    _add_scenario(demo)
    demo.add_argument("--seconds", type=float, help="end by itself after this time")
    demo.add_argument(
        "--listen",
        default=DEMO_LISTEN,
        metavar="ADDRESS:PORT",
        help="of the rack's page (default: %(default)s)",
    )
    demo.add_argument("--nodes", type=int, metavar="N", help="simulate and watch only the first N trays")
    demo.add_argument(
        "--node-ports", type=int, default=0, metavar="PORT", help="of the trays, from this one on"
    )
    demo.set_defaults(command=_demo)


def _add_scenario(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenario",
        default="demo",
        metavar="NAME|FILE",
        help="a shipped one or a file (default: %(default)s)",
    )


def _add_top(commands: Any) -> None:
    """Add the live page; its options are declared where they are understood, and loaded when asked for."""
    from agent.top import options  # noqa: PLC0415

    top = commands.add_parser("top", help="watch a node or a rack live", description=options.DESCRIPTION)
    options.declare(top)
    top.set_defaults(command=_top)


def _top(options: argparse.Namespace) -> int:
    from agent.top.command import run  # noqa: PLC0415  (the HTTP client and Textual load only for this one)

    return run(options)


def _add_explain(commands: Any) -> None:
    """Add the story of an incident; its options are declared where they are understood."""
    from agent.explain import options  # noqa: PLC0415

    text = "tell why throughput dropped: from a recording, or of a running node or rack"
    explain = commands.add_parser("explain", help=text, description=options.DESCRIPTION)
    options.declare(explain)
    explain.set_defaults(command=_explain)


def _explain(options: argparse.Namespace) -> int:
    from agent.explain.command import run  # noqa: PLC0415  (diagnosis and the HTTP client load only for this one)

    return run(options)


def _settings(options: argparse.Namespace) -> Config:
    """Load the configuration that a command was given, the default file, or the defaults."""
    path: Path | None = options.config
    if path is None and config.DEFAULT_PATH.exists():
        path = config.DEFAULT_PATH
    return config.load(path)


def _run(options: argparse.Namespace) -> int:
    with authorities.unread():
        from agent.daemon import Daemon, StartError  # noqa: PLC0415  (aiohttp loads only for the daemon)

    for early in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(early, signal.SIG_IGN)  # until the daemon follows them they must not kill it
    settings = _settings(options)

    async def serve() -> int:
        return await Daemon(settings).run()

    try:
        return asyncio.run(serve())
    except StartError as error:
        print(f"rackwatt: {error}", file=sys.stderr)
        return USED_WRONG


def _once(options: argparse.Namespace) -> int:
    from agent.daemon import sample  # noqa: PLC0415  (only this command and `run` need it)
    from agent.table import table_of  # noqa: PLC0415
    from agent.wire.codec import to_json  # noqa: PLC0415

    settings = config.with_window(_settings(options), max(1.0, options.seconds - 1.0))
    snapshot = asyncio.run(sample(settings, options.seconds))
    if options.json:
        print(to_json(snapshot, indent=True).decode())
    else:
        print(table_of(snapshot))
    return FINE if _is_well(snapshot) else FOUND_WRONG


def _is_well(snapshot: Snapshot) -> bool:
    """Whether every source answered, every GPU its driver, and every engine with a page that is believed."""
    sources = all(outcome.ok for outcome in snapshot.outcomes)
    gpus = all(gpu.state == "ok" for gpu in snapshot.gpus)
    return sources and gpus and all(engine.up for engine in snapshot.engines)


def _doctor(options: argparse.Namespace) -> int:
    from agent.doctor import examine  # noqa: PLC0415  (only this command needs it)

    findings = asyncio.run(examine(_settings(options)))
    for finding in findings:
        print(f"{finding.level:8} {finding.subject}: {finding.text}")
        if finding.remedy:
            print(f"{'':8} -> {finding.remedy}")
    return FOUND_WRONG if any(finding.level == "problem" for finding in findings) else FINE


def _check(options: argparse.Namespace) -> int:
    from agent.listener import web_config_of  # noqa: PLC0415  (aiohttp loads only for the commands that need it)

    try:
        settings = config.load(options.file)
        web_config_of(settings)
    except binding.ConfigError as error:
        print(error)
        return FOUND_WRONG
    print(
        f"{options.file}: fine; collectors: {', '.join(settings.collectors) or 'none'}; "
        f"exporters: {', '.join(settings.exporters) or 'none'}"
    )
    return FINE


def _metrics(_options: argparse.Namespace) -> int:
    from agent.measure.catalogue import CATALOGUE, PREFIX  # noqa: PLC0415

    for metric in CATALOGUE:
        labels = "{" + ",".join(metric.labels) + "}" if metric.labels else ""
        print(f"{PREFIX}{metric.name}{labels} {metric.type}\n    {metric.doc}")
    return FINE


def _dashboards(options: argparse.Namespace) -> int:
    from agent import dashboards  # noqa: PLC0415  (only this command needs it)

    overrides = {}
    for told in options.set:
        name, sign, value = told.partition("=")
        if not sign:
            raise binding.ConfigError(f"--set {told}: must be NAME=VALUE")
        overrides[name] = value
    if options.list:
        values = dashboards.values_with(overrides)
        for row in dashboards.parameters().values():
            print(f"{row.name}={values[row.name]}\n    {row.doc}")
        return FINE
    for path in dashboards.write(options.out, overrides):
        print(path)
    return FINE


def _twin(options: argparse.Namespace) -> int:
    from agent.twin import scenario  # noqa: PLC0415  (only this command and `demo` need it)

    if options.list:
        for name in scenario.names():
            print(f"{name:14} {scenario.load(name).about}")
        return FINE
    chosen = _first_trays(scenario.load(options.scenario), options.trays, "--trays")
    host, port = config.address_of(options.listen, "--listen")
    from agent.twin.server import TwinServer  # noqa: PLC0415  (aiohttp loads only to serve)

    def ready(url: str) -> None:
        print(f"twin: scenario {chosen.name} at {url} (truth: {url}/truth)", flush=True)

    async def serve() -> None:
        try:
            server = TwinServer(chosen, host, port)
        except OSError as error:
            message = f"--listen: cannot listen on {options.listen}: {config.why_not_listening(error)}"
            raise binding.ConfigError(message) from error
        await server.run(ready)

    asyncio.run(serve())
    return FINE


def _first_trays(chosen: Scenario, count: int | None, option: str) -> Scenario:
    """Leave out all trays but the first. Raises ConfigError."""
    from agent.twin import scenario  # noqa: PLC0415

    try:
        return chosen if count is None else scenario.first_trays(chosen, count)
    except binding.ConfigError as error:
        raise binding.ConfigError(f"{option}: {error}") from error


def _demo(options: argparse.Namespace) -> int:
    from agent.demo import Demo, DemoError  # noqa: PLC0415  (only this command needs it)
    from agent.twin import scenario  # noqa: PLC0415

    chosen = _first_trays(scenario.load(options.scenario), options.nodes, "--nodes")
    config.address_of(options.listen, "--listen")
    trays = chosen.rack.trays
    if options.node_ports and not 1 <= options.node_ports <= LAST_PORT - trays:
        raise binding.ConfigError(f"--node-ports: must be from 1 to {LAST_PORT - trays}")
    try:
        demo = Demo(chosen, options.scenario, options.listen, options.node_ports)
    except DemoError as error:
        raise binding.ConfigError(str(error)) from error
    return demo.run(options.seconds)


if __name__ == "__main__":
    sys.exit(main())
