"""Families of processes, their sockets and their GPUs, on a /proc of our own making."""

import pytest
from fakes.proc_tree import ProcTree

from agent.discovery.proc import Proc
from agent.discovery.processes import look

CONTAINER = f"0::/system.slice/docker-{'a1' * 32}.scope"
A, B = frozenset({"GPU-a"}), frozenset({"GPU-b"})


@pytest.fixture
def tree(tmp_path):
    return ProcTree(tmp_path / "proc")


def looked(tree, holders, own=1):
    return look(holders, Proc(tree.root), own)


def ports(family):
    return [listener.port for listener in family.listeners]


def test_a_parent_listens_for_the_child_that_holds_the_gpu(tree):
    tree.listen(50, 8000)
    tree.process(10, name="vllm", argv="vllm serve m --port 8000", sockets=(50,))
    tree.process(11, 10, name="VLLM::EngineCore")
    [family] = looked(tree, {11: A}).families

    assert [(each.pid, each.place, each.named, each.gpus) for each in family.listeners] == [
        (10, "127.0.0.1:8000", True, ("GPU-a",))
    ]


def test_a_sibling_listens_for_ranks_that_were_started_by_the_same_parent(tree):
    tree.listen(50, 8000)
    tree.process(10, name="mpirun")
    tree.process(11, 10)
    tree.process(12, 10, sockets=(50,))
    [family] = looked(tree, {11: A, 13: B}).families

    assert family.listeners[0].gpus == ("GPU-a",)
    assert looked(tree, {11: A, 13: B}).missing == (13,)


@pytest.mark.parametrize("name", ["bash", "systemd", "containerd-shim", "slurmstepd", "sshd"])
def test_a_family_ends_at_what_only_starts_engines(tree, name):
    tree.listen(50, 8000)
    tree.listen(51, 9000)
    tree.process(9, name=name)
    tree.process(10, 9, sockets=(50,))
    tree.process(20, 9, sockets=(51,))
    [family] = looked(tree, {10: A}).families

    assert ports(family) == [8000]


def test_a_family_ends_with_its_session(tree):
    tree.listen(50, 8000)
    tree.listen(51, 9000)
    tree.process(9, name="launcher", sockets=(51,), session=9)
    tree.process(10, 9, sockets=(50,), session=10)
    tree.process(11, 10, session=11, sockets=(51,))
    [family] = looked(tree, {10: A}).families

    assert ports(family) == [8000]


def test_in_a_container_sessions_do_not_matter(tree):
    tree.listen(50, 8000)
    tree.process(9, name="entrypoint", sockets=(50,), session=9, cgroup=CONTAINER)
    tree.process(10, 9, session=10, cgroup=CONTAINER)
    [family] = looked(tree, {10: A}).families

    assert ports(family) == [8000]


def test_two_engines_of_one_launcher_have_their_own_gpus(tree):
    tree.listen(50, 8000)
    tree.listen(51, 8001)
    tree.listen(52, 8002)
    tree.process(9, name="launcher", sockets=(52,))
    tree.process(10, 9, sockets=(50,))
    tree.process(11, 10)
    tree.process(20, 9, sockets=(51,))
    tree.process(21, 20)
    [family] = looked(tree, {11: A, 21: B}).families
    gpus = {listener.port: listener.gpus for listener in family.listeners}

    assert gpus == {8000: ("GPU-a",), 8001: ("GPU-b",), 8002: ("GPU-a", "GPU-b")}


def test_a_socket_that_children_inherit_is_their_parents(tree):
    tree.listen(50, 8000)
    tree.process(10, sockets=(50,))
    tree.process(11, 10, sockets=(50,))
    [family] = looked(tree, {11: A}).families

    assert [listener.pid for listener in family.listeners] == [10]


def test_at_most_sixteen_sockets_are_taken_and_the_named_one_first(tree):
    for number in range(30):
        tree.listen(100 + number, 7000 + number)
    tree.process(10, argv="vllm serve m --port 7029", sockets=tuple(range(100, 130)))
    [family] = looked(tree, {10: A}).families

    assert ports(family) == [7029, *range(7000, 7015)]


def test_children_are_asked_for_where_the_kernel_tells_them(tree):
    tree.listen(50, 8000)
    tree.process(10, children="12 ")
    tree.process(12, 10, sockets=(50,), children="")
    [family] = looked(tree, {10: A}).families

    assert ports(family) == [8000]


def test_a_socket_in_another_network_namespace_is_only_told(tree):
    tree.network("pod")
    tree.listen(50, 8000, network="pod")
    tree.process(10, sockets=(50,), network="pod")
    [family] = looked(tree, {10: A}).families

    assert (family.listeners, family.unreachable_ports) == ((), (8000,))


@pytest.mark.parametrize(
    ("uid", "network", "found"),
    [(1000, "self", ([8000], ())), (0, "self", ([], ())), (1000, "pod", ([], (8000,)))],
    ids=["own", "another-users", "another-namespace"],
)
def test_where_sockets_are_hidden_the_named_port_is_taken_if_it_can_only_be_its_own(
    tree, uid, network, found
):
    tree.network("pod")
    tree.listen(50, 8000, uid=uid, network=network)
    tree.process(10, argv="vllm serve m --port 8000", hidden=True, network=network)
    [family] = looked(tree, {10: A}).families

    assert (ports(family), family.unreachable_ports) == found
    assert [process.pid for process in family.unseen] == [10]


def test_where_sockets_are_hidden_a_port_that_nobody_named_is_left_alone(tree):
    tree.listen(50, 8000)
    tree.process(10, argv="vllm serve m", hidden=True)
    [family] = looked(tree, {10: A}).families

    assert family.listeners == ()


def test_we_are_no_engine(tree):
    tree.listen(50, 9744)
    tree.process(10, sockets=(50,))

    assert looked(tree, {10: A}, own=10).families == ()


def test_a_link_local_address_is_left_alone(tree):
    tree.process(10, sockets=(50,))
    (tree.root / "net-self" / "tcp6").write_text(
        f"x\n 0: {'000080FE' + '0' * 16 + '01000000'}:1F40 {'0' * 32}:0000 0A 0:0 00:0 0 1000 0 50 1\n"
    )
    [family] = looked(tree, {10: A}).families

    assert family.listeners == ()


def test_a_process_that_ended_meanwhile_is_missing_and_costs_nothing(tree):
    sight = looked(tree, {4711: A})

    assert (sight.families, sight.missing) == ((), (4711,))


def test_likeness_leaves_out_the_port_and_nothing_else(tree):
    tree.listen(50, 8000)
    tree.listen(51, 8001)
    tree.process(10, argv="vllm serve m --port 8000", sockets=(50,))
    tree.process(20, argv="vllm serve m --port 8001", sockets=(51,), session=8, start=2000)
    first, second = looked(tree, {10: A, 20: A}).families
    other = looked(tree, {10: A, 20: B}).families[1]

    assert first.listeners[0].likeness == second.listeners[0].likeness
    assert first.listeners[0].likeness != other.listeners[0].likeness
