"""What the kernel prints under /proc."""

import pytest

from agent.discovery import proc_text
from agent.discovery.proc_text import Listening, Stat

STAT = "7 (VLLM::Engine) (c) S 6 5 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 8899 123 45 1844674407 1 1 0\n"
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12843 1 0 100
   1: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1167 1 0 100
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 999 1 0 20
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0 65534 0 55 1 0
   1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0:0 00:0 0 65534 0 56 1 0
   2: B80D0120000000000000000007000000:1F93 00000000000000000000000000000000:0000 0A 0:0 00:0 0 65534 0 57 1 0
"""


def test_a_name_may_hold_spaces_and_brackets():
    assert proc_text.stat_of(STAT) == Stat("VLLM::Engine) (c", 6, 4, 8899)


def test_a_process_that_nobody_has_buried_has_ended():
    assert proc_text.stat_of(STAT.replace(" S ", " Z ", 1)).ended


@pytest.mark.parametrize("text", ["", "7 (x) S 1", "7 x S 6 5 4"])
def test_what_is_no_stat_is_refused(text):
    with pytest.raises(ValueError, match="not a line of"):
        proc_text.stat_of(text)


def test_the_user_is_the_effective_one():
    assert proc_text.uid_of("Name:\tx\nUid:\t1000\t1001\t1002\t1003\n") == 1001


@pytest.mark.parametrize(
    ("cmdline", "arguments"),
    [
        ("vllm\0serve\0--port\08000\0", ("vllm", "serve", "--port", "8000")),
        ("", ()),
        ("sglang::x\0\0\0", ("sglang::x",)),
    ],
)
def test_arguments_end_with_zeros(cmdline, arguments):
    assert proc_text.arguments_of(cmdline) == arguments


def test_only_listening_sockets_are_told():
    assert proc_text.listening_of(TCP) == (
        Listening("127.0.0.1", 8080, 1000, 12843),
        Listening("0.0.0.0", 2024, 0, 1167),
    )


def test_the_table_is_read_until_a_socket_does_not_listen():
    heading, first, second, third = TCP.splitlines(keepends=True)

    assert not proc_text.is_past_listening("")
    assert not proc_text.is_past_listening(heading)
    assert not proc_text.is_past_listening(heading + first + second + third[:40])
    assert proc_text.is_past_listening(TCP)


def test_addresses_of_ipv6_are_told_and_mapped_ones_are_ipv4():
    found = [(each.host, each.port) for each in proc_text.listening_of(TCP6)]

    assert found == [("::1", 8081), ("127.0.0.1", 8082), ("2001:db8::7", 8083)]
