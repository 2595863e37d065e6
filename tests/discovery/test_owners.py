"""Whose a process is, by control groups as real systems name them."""

import pytest

from agent.discovery.owners import Owner, owner_of

UID = "4f2c9e0a-7b1d-4c55-9a3e-0d6f1b2c3d4e"
SYSTEMD_UID = UID.replace("-", "_")
CONTAINER = "3b" * 32


@pytest.mark.parametrize(
    ("cgroup", "owner"),
    [
        (
            f"0::/kubepods.slice/x.slice/kubepods-x-pod{SYSTEMD_UID}.slice/cri-containerd-{CONTAINER}.scope",
            Owner(UID, CONTAINER),
        ),
        (
            f"12:memory:/kubepods/besteffort/pod{UID}/{CONTAINER}\n11:cpu:/kubepods/besteffort/pod{UID}/{CONTAINER}",
            Owner(UID, CONTAINER),
        ),
        (f"0::/kubepods/pod{'0a' * 16}/{CONTAINER}", Owner("0a" * 16, CONTAINER)),
        (
            f"0::/kubepods.slice/kubepods-pod{SYSTEMD_UID}.slice/crio-{CONTAINER}.scope",
            Owner(UID, CONTAINER),
        ),
        (f"0::/system.slice/docker-{CONTAINER}.scope", Owner("", CONTAINER)),
        (f"4:devices:/docker/{CONTAINER}\n0::/", Owner("", CONTAINER)),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container", Owner("", CONTAINER)),
        ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0", Owner(job_id="4711")),
        ("9:memory:/slurm/uid_1000/job_123/step_batch/task_0\n1:name=systemd:/", Owner(job_id="123")),
        ("3:freezer:/slurm_tray-07/uid_1000/job_9/step_0", Owner(job_id="9")),
        ("0::/system.slice/vllm.service", Owner(unit="vllm.service")),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vllm.service",
            Owner(unit="vllm.service"),
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope", Owner()),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope", Owner()),
        ("0::/system.slice/ssh.service", Owner()),
        ("0::/", Owner()),
        ("", Owner()),
        ("0::/home/job_5/x", Owner()),
    ],
)
def test_an_owner_is_read(cgroup, owner):
    assert owner_of(cgroup) == owner


def test_who_is_known_binds_its_processes_together():
    assert Owner(unit="vllm.service").known
    assert not Owner().known
