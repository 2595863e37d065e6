"""`rackwatt top` as a person or a pipe starts it: --once, exit codes, and without Textual."""

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import replace

import pytest
from fakes.incidents import power_capped, unexplained
from fakes.page_server import Answer, PageServer
from fakes.racks import PATH, ailing_rack, member, rack

from agent.measure.validity import Validity
from agent.wire.rack_codec import to_json

VALID = (Validity("rack_tokens_per_second", 10.0),)
HEALTHY = rack(member("a"), member("b"), validity=VALID)


@pytest.fixture
def serving():
    """Start servers of one snapshot in an event loop of their own; the programs under test may block ours."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def start(snapshot):
        server = PageServer({PATH: Answer(to_json(snapshot))})
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        servers.append(server)
        return server.url

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def top(*arguments, prefix=(), env=None):
    command = [*prefix, sys.executable, "-P", "-m", "agent.cli", "top", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | (env or {}),
    )


def test_once_prints_a_healthy_rack_and_is_fine(serving):
    done = top("--once", serving(HEALTHY))

    assert done.returncode == 0
    assert done.stderr == ""
    assert "OUTPUT 120,000 tokens/s  window 10 s  coverage 100.0 %  valid" in done.stdout
    assert "\x1b" not in done.stdout


def test_once_finds_a_rack_wrong_in_which_an_incident_stands_that_is_more_than_information(serving):
    stands, over = (replace(HEALTHY, incidents=(each,)) for each in (power_capped(), unexplained()))

    assert top("--once", serving(stands)).returncode == 1
    assert top("--once", serving(over)).returncode == 0


def test_once_finds_a_rack_with_a_missing_node_wrong_and_still_prints_it(serving):
    done = top("--once", serving(ailing_rack()))

    assert done.returncode == 1
    assert "missing: tray-04: unreachable" in done.stdout
    assert "tray-18" in done.stdout


def test_once_into_head_is_fine_without_a_traceback(serving):
    url = serving(rack(*(member(f"n{i}") for i in range(3000)), validity=VALID))
    command = f"'{sys.executable}' -P -m agent.cli top --once {url} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("rack r12  http://127.0.0.1:")


def test_once_in_an_ascii_pipe_prints_what_it_can(serving):
    done = top("--once", serving(HEALTHY), env={"PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0
    assert "NODES 2 of 2" in done.stdout


def test_once_with_nobody_there_is_found_wrong_in_one_line(serving):
    done = top("--once", "http://127.0.0.1:1")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("rackwatt: http://127.0.0.1:1: cannot connect (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://x"], "is not an http:// or https:// address"),
        (["--cert-file", "x"], "--cert-file and --key-file belong together"),
        (["--username", "x"], "--username and --password-file belong together"),
        (
            ["--username", "x", "--password-file", "y", "--credentials-file", "z"],
            "give --username and --password-file, or --credentials-file, not both",
        ),
        ([], "this is no terminal; `rackwatt top --once` prints one frame as plain text"),
    ],
)
def test_used_wrong_is_told_in_one_line(arguments, said):
    done = top(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


HIDES_TEXTUAL = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("textual", "rich"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
"""


def test_without_textual_once_still_works(serving, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDES_TEXTUAL)

    done = top("--once", serving(HEALTHY), env={"PYTHONPATH": str(tmp_path)})

    assert done.returncode == 0
    assert "NODES 2 of 2" in done.stdout


def test_without_textual_the_live_page_says_how_to_get_it():
    code, output = in_terminal(
        f"{HIDES_TEXTUAL.strip()}\nfrom agent.cli import main; sys.exit(main(['top']))"
    )

    assert code == 2
    assert "pip install 'rackwatt[top]'" in output
    assert "Traceback" not in output


def test_the_live_page_draws_in_a_real_terminal_and_leaves_it_as_it_was(serving):
    url = serving(ailing_rack())
    code, output = in_terminal(
        f"import sys; from agent.cli import main; sys.exit(main(['top', '{url}']))",
        until="tray-12",
        keys=b"q",
    )

    assert code == 0
    assert output.rindex("\x1b[?1049l") > output.rindex("\x1b[?1049h")


def test_with_no_color_everything_is_grey(serving):
    url = serving(ailing_rack())
    program = f"import sys; from agent.cli import main; sys.exit(main(['top', '{url}']))"
    _, coloured = in_terminal(program, until="tray-12", keys=b"q")
    _, grey = in_terminal(program, until="tray-12", keys=b"q", env={"NO_COLOR": "1"})

    assert colours(coloured) - GREYS
    assert colours(grey) <= GREYS
    assert "NOT VALID" in grey


GREYS = {*range(232, 256), 16, 59, 102, 145, 188, 231}
"""Of the 256 colours of a terminal."""


def colours(output):
    return {int(number) for number in re.findall(r"[34]8;5;(\d+)", output)}


def in_terminal(program, *, until="", keys=b"", env=None):
    """Run a program on a terminal of 80x24; when it has drawn `until`, press the keys."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=child,
        stdout=child,
        stderr=child,
        env=inherited | {"TERM": "xterm-256color"} | (env or {}),
        start_new_session=True,
    )
    os.close(child)
    seen, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    seen += os.read(parent, 65536)
                except OSError:  # the last one who had the terminal open is gone
                    break
            if keys and until.encode() in seen:
                os.write(parent, keys)
                keys = b""
        return process.wait(30), seen.decode("utf-8", "replace")
    finally:
        process.kill()
        process.wait()
        os.close(parent)
