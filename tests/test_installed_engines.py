"""What starts real engines, without one: their model, their processes, their absence."""

import json
import struct
import time
from pathlib import Path

import pytest
from fakes.engines import installed
from fakes.engines.installed import VLLM, Family, InstalledEngine
from fakes.engines.tiny_hf import Shape, tiny_hf
from fakes.processes import ProcessFailedError


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@pytest.mark.parametrize("ended", [Family.stop, Family.kill])
def test_all_that_an_engine_started_ends_with_it(ended):
    family = Family(["sh", "-c", "sleep 300 & sleep 300 & wait"], {}).start()
    deadline = time.monotonic() + 10
    while len(family.members()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = list(family.members())
    ended(family)
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert len(pids) == 3
    assert [pid for pid in pids if lives(pid)] == []


def test_an_engine_that_is_not_installed_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(installed, "INSTALLED", tmp_path)

    with pytest.raises(ProcessFailedError, match=r"vllm is missing: scripts/engines\.sh vllm"):
        InstalledEngine(VLLM).start()


def test_the_tiny_model_is_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("RACKWATT_TEST_CACHE", str(tmp_path))
    folder = tiny_hf(Shape(layers=1))
    content = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    places = sorted(value["data_offsets"] for key, value in header.items() if key != "__metadata__")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]

    assert [begin for begin, _ in places] == [0, *(end for _, end in places[:-1])]
    assert places[-1][1] == len(content) - 8 - length
    assert sorted(vocabulary.values()) == list(range(2048))
    assert len(header) == 3 + 9 + 1
    assert tiny_hf(Shape(layers=1)) == folder
