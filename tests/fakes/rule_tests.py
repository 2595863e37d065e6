"""Runs promtool's unit tests of rules, and writes into them the texts that alerts really have."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import yaml
from fakes.prometheus import found_program

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 120.0
_FAILURE = re.compile(
    r"name: (?P<name>[^\n]*),\n\s+alertname: (?P<alert>\w+), time: (?P<time>\w+), \n"
    r"\s+exp:\[(?P<exp>.*?)\n            \], \n        got:\[(?P<got>.*?)\n            \]",
    re.DOTALL,
)
_ALERT = re.compile(r"Labels:\{(?P<labels>.*?)\}\n\s+Annotations:\{(?P<annotations>.*)\}")
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


def run(file: Path) -> tuple[int, str]:
    """Exit status and messages of `promtool test rules`."""
    done = subprocess.run(
        [found_program("promtool"), "test", "rules", file.name],
        cwd=file.parent,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def fill_annotations(file: Path) -> None:
    """Write the annotations of alerts that fire as expected; whatever else is wrong stays a failure."""
    tests = yaml.safe_load(file.read_text())
    checks = [(group, check) for group in tests["tests"] for check in group["alert_rule_test"]]
    for failure in _FAILURE.finditer(run(file)[1]):
        exp, got = _alerts(failure["exp"]), _alerts(failure["got"])
        if [labels for labels, _ in exp] != [labels for labels, _ in got]:
            continue
        texts = {_key(labels): annotations for labels, annotations in got}
        for group, check in checks:
            here = (group["name"], check["alertname"], _minutes(check["eval_time"]))
            if here != (failure["name"], failure["alert"], _minutes(failure["time"])):
                continue
            for alert in check["exp_alerts"]:
                labels = {"alertname": check["alertname"], **alert["exp_labels"]}
                alert["exp_annotations"] = texts[_key(labels)]
    file.write_text(yaml.safe_dump(tests, sort_keys=False, width=110, allow_unicode=True))


def _minutes(text: str) -> int:
    told = {unit: int(number) for number, unit in re.findall(r"(\d+)([dhms])", text)}
    return told.get("d", 0) * 1440 + told.get("h", 0) * 60 + told.get("m", 0)


def _alerts(block: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = [(_pairs(each["labels"]), _pairs(each["annotations"])) for each in _ALERT.finditer(block)]
    return sorted(found, key=lambda alert: _key(alert[0]))


def _pairs(text: str) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in _PAIR.findall(text)}


def _key(labels: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if value != ""))
