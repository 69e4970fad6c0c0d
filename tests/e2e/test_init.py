"""End to end: from a Slurm with its own partitions to planned jobs, by `slurm-het init`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from slurm_het.core.syntax.hostlist import fold_for_slurm
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.records import parse_fields
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: old, scenario: training}
- {name: "b[1-2]", type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   cpus: 64, memory_gib: 512, pool: old, scenario: training}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE) as sandbox:
        yield sandbox


def with_lines(text: str, more: str) -> str:
    """slurm.conf with the lines of slurm.conf.add, as an admin puts them in."""
    words = {}
    nodes = ""
    for line in more.splitlines():
        if line.startswith("# To the NodeName lines of "):
            nodes = line.removeprefix("# To the NodeName lines of ").rstrip(":")
        elif line.startswith("#   Feature=...,"):
            words[nodes] = line.removeprefix("#   Feature=...,")
    lines = []
    for line in text.splitlines():
        name = line.split()[0].removeprefix("NodeName=") if line.strip() else ""
        add = words.get(name)
        lines.append(line.replace("Feature=", f"Feature={add},") if add else line)
    return "\n".join([*lines, more])


def test_a_site_of_its_own_is_planned(box: Sandbox, tmp_path: Path) -> None:
    cluster = Cluster(box)
    out = tmp_path / "site"
    said = cluster.ok("slurm-het", "init", str(out))
    assert "intake: old; pools: train-nvidia, infer-nvidia; 2 of them new" in said
    again = box.run(["slurm-het", "init", str(out)])
    assert again.returncode != 0
    assert "het.yaml" in again.stderr
    assert "is there already" in again.stderr

    box.stop_hetd()
    conf = box.layout.etc / "slurm.conf"
    conf.write_text(with_lines(conf.read_text(), (out / "slurm.conf.add").read_text()))
    cluster.ok("scontrol", "reconfigure")
    cluster.wait("the pools are there", lambda: "infer-nvidia" in cluster.ok("sinfo", "-h"), 20)
    before = yaml.safe_load(box.config_path.read_text())
    made = yaml.safe_load((out / "het.yaml").read_text())
    box.config_path.write_text(yaml.safe_dump(made | {"paths": before["paths"]}))
    hook = box.layout.etc / "het_hook_config.lua"
    hook.write_text(cluster.ok("slurm-het", "hook-config", "--config", str(box.config_path)))
    (box.layout.etc / "job_submit.lua").touch()
    box.start_hetd()
    checked = box.run(["slurm-het", "check", "--config", str(box.config_path)])
    wrong = [line for line in checked.stdout.splitlines() if line.startswith("wrong:")]
    assert wrong == []

    files = tmp_path / "files"
    told = cluster.ok("slurm-het", "render", str(files), "--config", str(box.config_path))
    assert f"het_hook_config.lua -> {hook}" in told
    for name in ("het_hook_config.lua", "job_submit.lua", "het_protocol.lua", "het_event.lua"):
        assert (files / name).read_text() == (box.layout.etc / name).read_text(), name
    differs = box.run(["slurm-het", "render", "--diff", "--config", str(box.config_path)])
    assert differs.returncode == 1
    assert "missing: /etc/systemd/system/hetd.service" in differs.stdout
    assert "het_protocol.lua" not in differs.stdout
    unit = (files / "hetd.service").read_text()
    assert cluster.ok("slurm-het", "systemd-unit", "--config", str(box.config_path)) == unit
    assert f"User={box.slurm_user}" in unit.splitlines()

    checked = box.run(["slurm-het", "status"])
    assert checked.returncode == 5, "a fresh installation is in shadow"
    pools = ("--pool", "train-nvidia", "--pool", "infer-nvidia")
    cluster.ok("slurm-het", "enable", *pools, "--yes", "--watch", "4")
    train = cluster.ok("sbatch", "--parsable", "-p", "old", "--gres=gpu:4", "--wrap",
                       "torchrun train.py; sleep 60")  # fmt: skip
    infer = cluster.ok("sbatch", "--parsable", "-p", "old", "--gres=gpu:1", "--wrap",
                       "vllm serve x; sleep 60")  # fmt: skip
    wanted = {train.strip(): "train-nvidia", infer.strip(): "infer-nvidia"}

    def in_pools() -> bool:
        rows = cluster.ok("squeue", "-h", "-t", "R", "-o", "%i %P").splitlines()
        return dict(row.split() for row in rows) == wanted

    cluster.wait("both run, each in its pool", in_pools, 30)


WORDS = (
    "AllowGroups=daemon,root DenyAccounts=games AllocNodes=nowhere MaxNodes=1 DisableRootJobs=YES"
    " ReqResv=YES Hidden=YES LLN=YES ExclusiveUser=YES PriorityTier=7 MaxCPUsPerNode=32"
    " PreemptMode=OFF OverTimeLimit=3 GraceTime=9 OverSubscribe=FORCE:2 DefMemPerCPU=100 MaxTime=30"
    " DefaultTime=20 DefCpuPerGPU=2 DefMemPerGPU=300"
)  # AllowQos=, DenyQos=: 26.05 takes only those of slurmdbd
DEFAULT = (
    "PartitionName=DEFAULT MaxTime=60 DefaultTime=10 LLN=YES PriorityTier=5 AllowGroups=games"
    " OverSubscribe=EXCLUSIVE MaxNodes=1 DefMemPerCPU=500 DenyAccounts=games MaxCPUsPerNode=8"
    " TRESBillingWeights=CPU=2 RootOnly=YES GraceTime=7"
)
TAKEN_BACK = (
    "MaxTime=UNLIMITED DefaultTime=UNLIMITED LLN=NO PriorityTier=1 AllowGroups=ALL"
    ' OverSubscribe=NO MaxNodes=UNLIMITED DefMemPerCPU=0 DenyAccounts="" MaxCPUsPerNode=UNLIMITED'
    ' TRESBillingWeights="" RootOnly=NO GraceTime=0'
)
OURS = {"PartitionName", "Nodes", "TotalCPUs", "TotalNodes", "TRES"}


@pytest.mark.parametrize(
    ("default", "words"), [("", WORDS), (DEFAULT, TAKEN_BACK)], ids=["limits", "of DEFAULT"]
)
def test_slurm_takes_what_a_new_partition_has_of_the_old_one(
    tmp_path: Path, default: str, words: str
) -> None:
    """And shows the same of it: whom it lets in, its limits."""
    with own_sandbox(SITE, hetd=False) as box:
        cluster, conf = Cluster(box), box.layout.etc / "slurm.conf"
        kept = [x for x in conf.read_text().splitlines() if not x.startswith("PartitionName=")]
        preempt = ["PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE"]
        old = f"PartitionName=gpu Nodes=a[1-2],b[1-2] {words}\n"
        conf.write_text("\n".join([*kept, *preempt, default, old]))
        box.restart_slurmctld()
        cluster.ok("slurm-het", "init", str(tmp_path / "site"))
        added = (tmp_path / "site" / "slurm.conf.add").read_text()
        conf.write_text(with_lines(conf.read_text(), added))
        box.restart_slurmctld()

        def shown(name: str) -> dict[str, str]:
            text = cluster.ok("scontrol", "-o", "show", "partition", name)
            return {k: v for k, v in parse_fields(text).items() if k not in OURS}

        new = re.findall(r"^PartitionName=(\S+)", added, re.MULTILINE)
        assert "train-nvidia" in new
        for name in new:
            assert shown(name) == shown("gpu")


def test_slurm_reads_the_host_lists_that_are_written_for_it(cluster: Cluster) -> None:
    """22.05 reads none with something behind its last bracket: slurmctld would not start."""
    names = [
        *(f"gpu{n:02}-ib" for n in range(1, 12)), *(f"r{n}n3" for n in range(1, 4)),
        *(f"r{n}c{m}n0" for n in range(1, 4) for m in range(3)), "nv1", "nv2", "2node", "3node",
    ]  # fmt: skip
    read = cluster.ok("scontrol", "show", "hostnames", fold_for_slurm(names))
    assert sorted(read.split()) == sorted(names)
