"""A twin rack of real daemons, scraped by real servers as shipped but for shorter windows."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Self

import yaml
from fakes import promql
from fakes.agent import RunningAgent
from fakes.forge import Forge
from fakes.prometheus import Prometheus
from fakes.twin import RunningTwin
from fakes.victoria import VictoriaMetrics

from agent import dashboards
from agent.demo import node_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TRAYS = 3
SHIPPED = dashboards.source_folder() / "prometheus"
WINDOWS = {"5m": "15s", "1m": "8s"}
"""Windows of the rules, and what they are here."""
READ_EACH = "250ms"
"""A scrape may see one reading more or less at either end of a window: at 1 s that were a fifteenth of it."""
SETTLED_SECONDS = 16.0
"""So long after all figures are there every window is one of steady work."""
SCENARIO = """
about: A steady rack of three trays; two serve one model, one another.
rack:
  name: twin
  trays: 3
  parallel: tensor
  engines_per_tray: 2
  models: [llama, llama, mixtral]
  tokens_per_second: 20000
load: {level: 0.7}
"""


def shortened(text: str) -> str:
    """Return rules with shorter windows; the names of what they record stay."""
    return re.sub(r"(?<=[\[ ])(5m|1m)(?=[\] )\n])", lambda found: WINDOWS[found[1]], text)


def shipped_config(name: str, **changed: Any) -> dict[str, Any]:
    """Return a shipped configuration of Prometheus, each second, with some of it changed."""
    told: dict[str, Any] = yaml.safe_load((SHIPPED / name).read_text()) | changed
    each_second = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    told["global"] = told["global"] | each_second
    return told


def shortened_rules(folder: Path) -> list[Path]:
    """Write the shipped recording rules under a folder, their windows shortened."""
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    for file in promql.RECORDING:
        (rules / file.name).write_text(shortened(file.read_text()))
    return [rules / file.name for file in promql.RECORDING]


class ScrapedRack:
    """Three node daemons, of which one reckons the rack as well, and one that does nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self.nodes: list[RunningAgent] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.twin = stack.enter_context(RunningTwin(self.folder, SCENARIO))
            self.forge = stack.enter_context(Forge(self.folder))
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        for number in range(TRAYS):
            engines = list(self.twin.index["trays"][number]["engines"])
            settings = node_settings(number, 0, self.twin.url, engines, gpus=4)
            del settings["listen"]
            settings["interval"] = READ_EACH
            self.nodes.append(self._agent(settings["node"]["name"], settings))
        members = [node.url for node in self.nodes]
        last = self.nodes[-1]
        told = yaml.safe_load(last.config_file.read_text())
        last.configure(told | {"rack": {"members": members}})
        head = {"node": {"name": "head"}, "rack": {"members": members}, "collectors": {}}
        self.head = self._agent("head", head)
        renamed = {"node": {"name": "renamed"}, "rack": {"members": members, "name": "r12"}, "collectors": {}}
        self.renamed = self._agent("renamed", renamed)
        for daemon in (*self.nodes, self.head, self.renamed):
            stack.callback(daemon.program.kill)
            daemon.start(wait=False)

    def _agent(self, name: str, settings: dict[str, Any]) -> RunningAgent:
        return RunningAgent(self.folder / name, settings, forge=self.forge)

    @property
    def targets(self) -> list[str]:
        """Host and port of what is to be scraped."""
        return [daemon.url.removeprefix("http://") for daemon in (*self.nodes, self.head)]


class Servers:
    """All that scrape and record a rack, and what gets it from them."""

    def __init__(self, rack: ScrapedRack) -> None:
        self._rack = rack
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self.prometheus.wait_for("site:rackwatt_tokens_per_joule:ratio5m", deadline=60.0)
            time.sleep(SETTLED_SECONDS)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        rules = shortened_rules(self._rack.folder)
        recording, site = map(str, rules)
        scraped = shipped_config("prometheus.yml", rule_files=[recording, site])
        scraped["scrape_configs"][0]["static_configs"] = [{"targets": self._rack.targets}]
        only_scraping = {key: scraped[key] for key in ("global", "scrape_configs")}
        self.receiver = stack.enter_context(Prometheus({}, remote_write_receiver=True))
        self.store = stack.enter_context(VictoriaMetrics())
        writes = shipped_config("remote_write.yml")["remote_write"][0]
        scraped["remote_write"] = [
            writes | {"url": f"{url}/api/v1/write"} for url in (self.receiver.url, self.store.url)
        ]
        self.prometheus = stack.enter_context(Prometheus({}, config=scraped))
        self.victoria = stack.enter_context(VictoriaMetrics(only_scraping))
        self.vmalert = stack.enter_context(VictoriaMetrics(only_scraping, rules))
        above = shipped_config("federation.yml", rule_files=[site])
        above["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{self.prometheus.port}"]}]
        self.above = stack.enter_context(Prometheus({}, config=above))


def recorded_by_hand(victoria: VictoriaMetrics) -> dict[str, list[dict[str, Any]]]:
    """Evaluate the rules on VictoriaMetrics level by level, and write what each gives, as vmalert does.

    vmalert itself would take a minute: VictoriaMetrics remembers for a while that a series is not there.
    """
    rules = {rule["record"]: shortened(rule["expr"]) for rule in promql.rules_of(*promql.RECORDING)}
    levels: dict[str, int] = {}
    for name, expr in rules.items():
        levels[name] = 1 + max((levels.get(used, 0) for used, _ in promql.used(expr)), default=0)
    results = {}
    for level in sorted(set(levels.values())):
        for name in (each for each in rules if levels[each] == level):
            results[name] = victoria.query(rules[name])
            victoria.write(name, results[name])
        victoria.settle()
    return results


def values(rows: Iterable[dict[str, Any]], *labels: str) -> dict[tuple[str, ...], float]:
    """Return the values of an instant vector by some of their labels."""
    return {tuple(row["metric"].get(label, "") for label in labels): float(row["value"][1]) for row in rows}
