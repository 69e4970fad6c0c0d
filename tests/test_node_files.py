"""gres.conf and the TaskProlog, from the vendors' profiles."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slurm_het.config import parse_config
from slurm_het.core.policy import Policy
from slurm_het.errors import HetError
from slurm_het.node_files import NodeCards, NodesAlike, alike, gres_conf, task_prolog
from slurm_het.vendors import load_vendors

VENDORS = load_vendors()
MIXED = NodesAlike(
    ("mx1",), "mx1",
    (NodeCards("a100", "nvidia", 2), NodeCards("mi210", "amd", 2), NodeCards("l40s", "nvidia", 1)),
)  # fmt: skip


@pytest.fixture
def policy() -> Policy:
    return parse_config(
        "{intake_partition: accel, pools: {p: {scenario: training, vendors: [amd]}}}"
    ).policy


def lines(*kinds: NodesAlike) -> list[str]:
    return [line for line in gres_conf(kinds, VENDORS).splitlines() if line.startswith("NodeName")]


def told(kind: NodesAlike, constrained: bool = False, **environment: str) -> dict[str, str]:
    """What the TaskProlog exports for a task with these variables."""
    script = task_prolog([kind], VENDORS, constrained=constrained)
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": kind.nodes[0], **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    exports = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if " " in line]
    return dict(word.split("=", 1) for word in exports if "=" in word)


def test_nodes_with_the_same_gres_are_alike(policy: Policy) -> None:
    nodes = [
        ("nv1", "gpu:a100:8(S:0-1),shard:a100:640(S:0-1),nic:2"), ("cpu1", "(null)"),
        ("nv2", "gpu:a100:8(S:0-1),shard:a100:640(S:0-1),nic:2"), ("as1", "gpu:910b3:8"),
    ]  # fmt: skip
    assert lines(*alike(nodes, policy)) == [
        "NodeName=nv[1-2] Name=gpu Type=a100 File=/dev/nvidia[0-7] Flags=nvidia_gpu_env",
        "NodeName=nv[1-2] Name=shard Count=640",
        "NodeName=as1 Name=gpu Type=910b3 File=/dev/davinci[0-7] Flags=opencl_env",
    ]


def test_devices_of_their_own_type_are_counted_through(policy: Policy) -> None:
    kinds = alike([("amd1", "gpu:mi300x_0:1,gpu:mi300x_1:1")], policy)
    assert lines(*kinds) == [
        "NodeName=amd1 Name=gpu Type=mi300x_0 File=/dev/dri/renderD128 Flags=amd_gpu_env",
        "NodeName=amd1 Name=gpu Type=mi300x_1 File=/dev/dri/renderD129 Flags=amd_gpu_env",
    ]


def test_slices_are_left_to_nvml(policy: Policy) -> None:
    kinds = alike([("m1", "gpu:1g.10gb:7")], policy)
    assert lines(*kinds) == ["NodeName=m1 AutoDetect=nvml"]
    emulated = gres_conf(kinds, VENDORS, "/tmp/dev")
    assert "NodeName=m1 Name=gpu Type=1g.10gb File=/tmp/dev/nvidia[0-6] " in emulated


def test_cards_without_a_type_are_of_the_type_that_is_called_as_their_gres() -> None:
    """As `slurm-het init` writes it where a site's cards have no type."""
    policy = parse_config(
        "{intake_partition: accel, pools: {p: {scenario: training, vendors: [amd]}},"
        " types: {gpu: {vendor: amd, memory_gib: 64}}}"
    ).policy
    kinds = alike([("n1", "gpu:4"), ("n2", "gpu:(null):2,gpu:mi210:1")], policy)
    assert lines(*kinds) == [
        "NodeName=n1 Name=gpu File=/dev/dri/renderD[128-131] Flags=amd_gpu_env",
        "NodeName=n2 Name=gpu File=/dev/dri/renderD[128-129] Flags=amd_gpu_env",
        "NodeName=n2 Name=gpu Type=mi210 File=/dev/dri/renderD130 Flags=amd_gpu_env",
    ]
    assert "NodeName=n1 Features=gpu,amd" in gres_conf(kinds, VENDORS)


@pytest.mark.parametrize(
    ("text", "what"),
    [("gpu:8", "have no type, and none is called gpu"), ("gpu:q9:8", "no vendor has a type 'q9'")],
)
def test_cards_that_nobody_knows_are_named(policy: Policy, text: str, what: str) -> None:
    with pytest.raises(HetError, match=what):
        alike([("n1", text)], policy)


def test_lines_of_one_node_have_one_flag() -> None:
    """Slurm 22.05 ends where they have not, and counts the devices through."""
    assert lines(MIXED) == [
        "NodeName=mx1 Name=gpu Type=a100 File=/dev/nvidia[0-1] Flags=opencl_env",
        "NodeName=mx1 Name=gpu Type=mi210 File=/dev/dri/renderD[128-129] Flags=opencl_env",
        "NodeName=mx1 Name=gpu Type=l40s File=/dev/nvidia2 Flags=opencl_env",
    ]


def test_a_task_on_a_node_of_several_vendors_has_each_ones_own_numbers() -> None:
    found = told(MIXED, SLURM_JOB_GPUS="1,3,4", GPU_DEVICE_ORDINAL="1,3,4")
    assert found == {
        "CUDA_VISIBLE_DEVICES": "1,2", "ROCR_VISIBLE_DEVICES": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }  # fmt: skip


def test_where_devices_are_constrained_a_task_counts_its_own() -> None:
    found = told(MIXED, constrained=True, SLURM_JOB_GPUS="1,3,4", GPU_DEVICE_ORDINAL="0,1,2")
    assert (found["CUDA_VISIBLE_DEVICES"], found["ROCR_VISIBLE_DEVICES"]) == ("0,1", "0")
    one = NodesAlike(("as1",), "as1", (NodeCards("910b", "ascend", 8),))
    told_one = told(one, constrained=True, SLURM_JOB_GPUS="5,6", GPU_DEVICE_ORDINAL="0,1")
    assert told_one == {"ASCEND_RT_VISIBLE_DEVICES": "0,1"}


def test_a_job_without_devices_is_left_alone() -> None:
    script = task_prolog([MIXED], VENDORS)
    done = subprocess.run(
        ["sh", "-c", script], env={"SLURMD_NODENAME": "mx1", "PATH": "/usr/bin:/bin"},
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b""


def test_a_word_that_a_shell_would_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "amd.yaml").write_text("environment: {fixed: {A: '$(reboot)'}}\n")
    with pytest.raises(HetError, match="cannot be written there"):
        load_vendors(tmp_path)
