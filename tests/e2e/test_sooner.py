"""What would start a job sooner, on a real Slurm: the command that `why` prints, pasted, starts it;
and what `slurm-het try` says of a submission comes true when it is made.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

OWNER = "nobody"
SLEEP = "sleep 900"
CUDA = "module load cuda\nsleep 900"
HALF_SECONDS = 12.0
WITHIN = 25.0
"""Seconds for what takes a cycle and five: hetd may look at what Slurm was told 15 s later."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox() as box:
        it = Cluster(box)
        it.wait("the gate is closed", lambda: it.gate() == "DOWN")
        yield it


@dataclass(frozen=True)
class Staged:
    """A job of the owner's that waits beside `busy` ones; the command that starts it, and half of
    that, which does not."""

    options: tuple[str, ...]
    command: str
    script: str = SLEEP
    busy: tuple[tuple[str, ...], ...] = ()
    commands: tuple[tuple[str, ...], ...] = field(default=())
    newer: bool = False
    half: str = ""


def has(node: str, pool: str, *options: str) -> tuple[str, ...]:
    """The options of a job that Slurm itself places on a node."""
    return ("-w", node, "-p", pool, "-t", "60", "--mem=1G", *options)


NV = tuple(has(n, "train-nv", "--gres=gpu:8") for n in ("nv1", "nv2"))
RESERVED = (
    "scontrol", "create", "reservation", "ReservationName=upkeep", "StartTime=now+45minutes",
    "Duration=60", "Nodes=amd1,amd2", "Users=root",
)  # fmt: skip
STAGED = {
    "a shorter limit": Staged(
        ("-t", "90", "--gres=gpu:mi300x:1"), r"scontrol update job \d+ TimeLimit=0:\d+:00",
        commands=(RESERVED,), half="TimeLimit=1:08:00",
    ),
    "another vendor": Staged(("-t", "20", "--gres=gpu:2"), r"slurm-het ask .*vendors=", busy=NV),
    "another scenario": Staged(
        ("-t", "20", "--gres=gpu:2"), r"slurm-het ask .*scenario=inference", CUDA, busy=NV
    ),
    "fewer nodes": Staged(
        ("-N2", "-t", "60", "--gres=gpu:910b:8"), r"scontrol update job \d+ .*NumNodes=1",
        busy=(has("asc1", "train-ascend", "--gres=gpu:8"),),
    ),
    "fewer CPUs": Staged(
        ("-c60", "--mem=1G", "-t", "60", "--gres=gpu:k100ai:1"),
        r"scontrol update job \d+ CPUsPerTask=24 NumCPUs=24 MinCPUsNode=24",
        busy=tuple(has(n, "train-dcu", "-c40") for n in ("dcu1", "dcu2")),
        half="CPUsPerTask=42 NumCPUs=42 MinCPUsNode=42",
    ),
    "less memory": Staged(
        ("--mem=400G", "-t", "60", "--gres=gpu:k100ai:1"),
        r"scontrol update job \d+ MinMemoryNode=\d+", half="MinMemoryNode=312000",
        busy=tuple((*has(n, "train-dcu")[:-1], "--mem=300G") for n in ("dcu1", "dcu2")),
    ),
    "less memory for each CPU": Staged(
        ("-c4", "--mem-per-cpu=100G", "-t", "60", "--gres=gpu:k100ai:1"),
        r"scontrol update job \d+ MinMemoryCPU=\d+",
        busy=tuple((*has(n, "train-dcu")[:-1], "--mem=300G") for n in ("dcu1", "dcu2")),
    ),
    "no node excluded": Staged(
        ("-x", "mlu1", "-t", "60", "--gres=gpu:mlu370:2"),
        r"scontrol update job \d+ .*ExcNodeList=", busy=(has("mlu2", "infer-mlu", "--gres=gpu:4"),),
    ),
    "at once": Staged(
        ("--begin=now+2hours", "-t", "60", "--gres=gpu:310p:1"),
        r"scontrol update job \d+ StartTime=now",
    ),
    "fewer devices": Staged(
        ("-t", "60", "--gres=gpu:a100:8"), r"scontrol update job \d+ Gres=gpu:a100:5",
        busy=(NV[0], has("nv2", "train-nv", "--gres=gpu:3")), newer=True,
    ),
}  # fmt: skip


def why(cluster: Cluster, key: str) -> str:
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "why", key]
    done = cluster.box.run(argv, user=OWNER)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def pasted(cluster: Cluster, command: str) -> None:
    """Run a command as it was printed, as the owner."""
    words = shlex.split(command)
    if words[0] == "slurm-het":
        words[:1] = [sys.executable, "-m", "slurm_het.cli.admin"]
    cluster.ok(*words, user=OWNER)


def newer_slurm(cluster: Cluster) -> bool:
    return " 22." not in cluster.ok("scontrol", "--version")


@pytest.mark.parametrize("staged", STAGED.values(), ids=STAGED)
def test_the_printed_command_starts_it(cluster: Cluster, staged: Staged) -> None:
    if staged.newer and not newer_slurm(cluster):
        pytest.skip("22.05 lets nobody change the GRES of a queued job")
    cluster.clear()
    for command in staged.commands:
        cluster.ok(*command)
    try:
        for options in staged.busy:
            cluster.wait_started(cluster.sbatch(*options, script=SLEEP))
        key = cluster.sbatch(*staged.options, script=staged.script, user=OWNER)
        told = ""

        def is_named() -> bool:
            nonlocal told
            told = why(cluster, key)
            return bool(re.search(staged.command, told))

        cluster.wait(f"{staged.command} is named", is_named, 15, job=key)
        print(told)
        assert cluster.job(key)["JobState"] == "PENDING"
        (line,) = (text for text in told.splitlines() if re.search(staged.command, text))
        printed, _, promise = line.strip().partition("   # ")
        assert promise.startswith("now on "), told
        if staged.half:
            cluster.ok("scontrol", "update", f"JobId={key}", *staged.half.split(), user=OWNER)
            time.sleep(HALF_SECONDS)
            assert cluster.job(key)["JobState"] == "PENDING"
        pasted(cluster, printed)
        started = cluster.wait_started(key, WITHIN)
        assert started["NodeList"] in promise
    finally:
        if staged.commands:
            cluster.ok("scancel", "-u", OWNER)
            cluster.ok("scontrol", "delete", "ReservationName=upkeep")


@dataclass(frozen=True)
class Submitted:
    """A submission, and the answer that is true of it."""

    words: tuple[str, ...]
    answer: str
    script: str = "#!/bin/sh\nsleep 900\n"


def test_what_try_says_comes_true(cluster: Cluster) -> None:
    cluster.clear()
    for options in NV:
        cluster.wait_started(cluster.sbatch(*options, script=SLEEP))
    tries = {
        "amd": Submitted(("--gres=gpu:mi300x:2", "-t", "30"), "now"),
        "lines": Submitted((), "now", "#!/bin/sh\n#SBATCH --gres=gpu:910b:1 -t 30\nsleep 900\n"),
        "cuda": Submitted(("--gpus-per-node=2", "-t", "30"), "later", f"#!/bin/sh\n{CUDA}\n"),
        "share": Submitted(
            ("--gres=gpu:1", "-t", "30"), "now",
            "#!/bin/sh\n#HET scenario=inference memory=20G share=yes vendors=nvidia\nsleep 900\n",
        ),
        "nodes": Submitted(("-N2", "--gres=gpu:k100ai:8", "-t", "30"), "now"),
        "large": Submitted(("--gres=gpu:a100:16", "-t", "30"), "never"),
        "memory": Submitted(("--gres=gpu:310p:1", "--mem=900G", "-t", "30"), "never"),
        "many": Submitted(("--gpus=24", "-t", "30"), "never", "#!/bin/sh\nmodule load rocm\n"),
        "gib": Submitted(("--gres=shard:49", "-t", "30"), "never", f"#!/bin/sh\n{CUDA}\n"),
        "held": Submitted(("-H", "--gres=gpu:310p:1", "-t", "30"), "unknown"),
        "named": Submitted(("-p", "accel", "-w", "mlu1", "--gres=gpu:mlu370:1"), "slurm"),
    }  # fmt: skip
    for name, it in tries.items():
        script = Path(cluster.box.dir) / "work" / f"{name}.sh"
        script.write_text(it.script)
        argv = [sys.executable, "-m", "slurm_het.cli.admin", "try", "--json", *it.words]
        said = json.loads(cluster.box.run([*argv, str(script)], user=OWNER).stdout)
        assert said["answer"] == it.answer, (name, said)
        done = cluster.box.run(
            ["sbatch", "--parsable", "-o", "/dev/null", *it.words, str(script)], user=OWNER
        )
        if it.answer == "never" and done.returncode:
            continue  # where Slurm takes it (24.11 a share that is too large), it waits
        assert done.returncode == 0, (name, done.stderr)
        key = done.stdout.strip()
        if it.answer == "now":
            started = cluster.wait_started(key, WITHIN)
            assert started["NodeList"].count("[") or started["NodeList"] in said["starts"]["nodes"]
        elif it.answer != "slurm":
            cluster.wait(f"{name} waits", partial(waits, cluster, key), 10, job=key)
    assert {waits(cluster, job.key) for job in cluster.jobs() if job.user == OWNER} == {True, False}


def waits(cluster: Cluster, key: str) -> bool:
    return cluster.job(key)["JobState"] == "PENDING"
