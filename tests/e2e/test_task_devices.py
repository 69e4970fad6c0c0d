"""Each vendor's programs are told their devices: from inside jobs and steps, whole and shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm_het.vendors import load_vendors
from slurm_het.vendors.profile import variables
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

TYPES = {
    "nvidia": "a100", "amd": "mi300x", "intel": "max1550", "habana": "gaudi2", "ascend": "910b",
    "cambricon": "mlu370", "hygon": "k100ai", "moorethreads": "s4000", "iluvatar": "bi-v100",
    "metax": "c500", "enflame": "s60", "kunlunxin": "p800",
}  # fmt: skip
EVERY = variables(load_vendors().values())
ALIKE = (
    "{{name: {0}, type: {1}, vendor: {0}, devices: 4, memory_gib_per_device: 32, cpus: 16, "
    "memory_gib: 64, pool: p, scenario: training, shards_per_device: 8}}"
)
TWO = (
    "{name: mixed, type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 32, cpus: 16, "
    "memory_gib: 64, pool: p, scenario: training, "
    "more: [{type: mi300x, vendor: amd, devices: 2, memory_gib_per_device: 32}]}"
)
NODES = "\n".join(f"- {text}" for text in [*(ALIKE.format(*pair) for pair in TYPES.items()), TWO])

# The first word says whose environment it is; every variable that is set follows.
SHOW = f"""show() {{
    local words=$1
    for name in {" ".join(EVERY)}; do
        [ -z "${{!name+set}}" ] || words="$words $name=${{!name}}"
    done
    echo "$words" >> $out
}}
export -f show
export out=$OUT/$SLURM_JOB_ID
show batch
srun -n1 bash -c 'show step'
srun -n1 --gres=none bash -c 'show none'
"""
WHOLE = """srun -n1 --gres=gpu:1 bash -c 'show one'
srun -n2 --gpus-per-task=1 bash -c 'show task$SLURM_LOCALID'
srun -n2 --gpus-per-task=1 --gpu-bind=single:1 bash -c 'show bound$SLURM_LOCALID'
"""


@dataclass(frozen=True)
class Told:
    """What the tasks of one job were told: the variables that were set, by step."""

    steps: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox(NODES, hetd=False, hook=False) as box:
        yield Cluster(box)


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> dict[tuple[str, str], Told]:
    """By node and request: of each vendor two cards and a share, while its first card is taken."""
    nodes = [*TYPES, "mixed"]
    holders = [_submit(cluster, node, "gpu:1", "sleep 300") for node in nodes]
    for holder in holders:
        cluster.wait_state(holder, "RUNNING")
    whole = {(node, "whole"): _submit(cluster, node, "gpu:2", SHOW + WHOLE) for node in nodes}
    share = {(node, "share"): _submit(cluster, node, "shard:4", SHOW) for node in TYPES}
    jobs = whole | share
    found = {key: _read(cluster, job) for key, job in jobs.items()}
    for holder in holders:
        cluster.ok("scancel", holder)
    return found


def _submit(cluster: Cluster, node: str, gres: str, script: str) -> str:
    """A job whose user's shell has every variable of every vendor, wrong."""
    poison = ",".join(f"{name}=13" for name in EVERY)
    export = f"--export=ALL,{poison},OUT={cluster.box.layout.work}"
    return cluster.sbatch("-p", "p", "-w", node, f"--gres={gres}", "-n2", export, script=script)


def _read(cluster: Cluster, job: str) -> Told:
    cluster.wait_state(job, "COMPLETED")
    lines = (Path(cluster.box.layout.work) / job).read_text().splitlines()
    words = [line.split(" ") for line in lines]
    return Told({step: dict(pair.split("=", 1) for pair in rest) for step, *rest in words})


@pytest.mark.parametrize("vendor", TYPES)
def test_two_cards_of_a_vendor(vendor: str, told: dict[tuple[str, str], Told]) -> None:
    """Cards 1 and 2: the batch script and a step have both, a step of one has one."""
    steps = told[vendor, "whole"].steps
    assert steps["batch"] == _expected(vendor, "1,2")
    assert steps["step"] == _expected(vendor, "1,2")
    assert steps["one"] == _expected(vendor, "1")
    assert steps["none"] == _expected(vendor, "")


@pytest.mark.parametrize("vendor", TYPES)
def test_tasks_that_are_bound_to_a_card_each(
    vendor: str, told: dict[tuple[str, str], Told]
) -> None:
    steps = told[vendor, "whole"].steps
    assert [steps[f"bound{task}"] for task in (0, 1)] == [
        _expected(vendor, "1"),
        _expected(vendor, "2"),
    ]


@pytest.mark.parametrize("vendor", TYPES)
def test_a_share_of_a_card(vendor: str, told: dict[tuple[str, str], Told]) -> None:
    steps = told[vendor, "share"].steps
    assert len(set(map(str, (steps["batch"], steps["step"])))) == 1
    card = next(iter(steps["batch"].values()))
    assert card in {"1", "2", "3"}
    assert steps["batch"] == _expected(vendor, card)
    assert steps["none"] == _expected(vendor, "")


def test_a_node_of_two_vendors(told: dict[tuple[str, str], Told]) -> None:
    """Its second NVIDIA card and its first of AMD are Slurm's devices 1 and 2."""
    steps = told["mixed", "whole"].steps
    both = {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "0"}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert steps["batch"] == both | order
    assert steps["step"] == both | order
    assert steps["none"] == order
    assert steps["one"] == {"CUDA_VISIBLE_DEVICES": "1"} | order


def test_the_admins_commands_make_the_files_of_this_cluster(cluster: Cluster) -> None:
    """From what Slurm has of its nodes they are what the sandbox wrote from its topology."""
    etc = cluster.box.layout.etc
    written = (etc / "gres.conf").read_text().replace(str(cluster.box.layout.dir / "dev"), "/dev")
    printed = cluster.tool("admin", "gres-conf")
    assert sorted(printed.splitlines()) == sorted(written.splitlines())
    prolog = (etc / "task_prolog").read_text().splitlines()
    ours = cluster.tool("admin", "task-prolog").splitlines()
    assert sorted(ours) == sorted(line for line in prolog if "export PATH" not in line)


def _expected(vendor: str, devices: str) -> dict[str, str]:
    """What is set: the vendor's own variables, and no other's."""
    env = load_vendors()[vendor].environment
    visible = dict.fromkeys(env.visible, devices) if devices else {}
    return dict(env.fixed) | visible
