"""Whether what `slurm-het try` says comes true: scripts that are asked about, and then submitted.

    ./dev bench try_scripts [--no-record]
    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.try_scripts

All NVIDIA training nodes are busy. Each script is asked about while the others are not submitted
yet; then all are, and together they have room. An answer is right if the job

now             starts within ninety seconds, on nodes that were told
later, unknown  waits
never           is refused, or waits
slurm           is not prepared by the hook
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import in_sandbox
from bench.results import head, publish, recorded, table
from bench.sooner_stages import NV, POOLS, Pool, Words, full
from slurm_het.cli.try_job import try_job
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.model import Job
from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.versions import parse_version

SAY = partial(print, flush=True)
OWNER = "nobody"
SCRIPT = "sleep 900"
CUDA, ROCM = "module load cuda\nsleep 900", "module load rocm\nsleep 900"
LITTLE = ("--mem=1G",)
"""Else one that names no host memory has all of its node's."""
START_SECONDS, WAIT_SECONDS = 90.0, 15.0
COLUMNS = "said", "right", "of"


@dataclass(frozen=True)
class Tried:
    """A submission: sbatch's words, and the lines of the script."""

    name: str
    words: Words
    script: str = SCRIPT


@dataclass
class Answered:
    """What was said of it, and what became of it."""

    tried: Tried
    said: str
    nodes: frozenset[str]
    became: str = ""
    right: bool = False


def tried_of(pool: Pool) -> Iterator[Tried]:
    """Four of each pool: two that fit, and two that never will."""
    kind = f"--gres=gpu:{pool.type}"
    yield Tried(f"one {pool.type}", (f"{kind}:1", "-t", "30"))
    yield Tried(f"two nodes of {pool.type}", ("-N2", f"{kind}:1", "-t", "30"))
    yield Tried(f"too many {pool.type}", (f"{kind}:{pool.devices + 1}", "-t", "30"))
    yield Tried(f"memory on {pool.type}", (f"{kind}:1", f"--mem={2 * pool.gib}G", "-t", "30"))


TRIED = (
    *(one for pool in POOLS if pool is not NV for one in tried_of(pool)),
    Tried("a100, all busy", ("--gres=gpu:a100:1", "-t", "30")),
    Tried("CUDA, all busy", ("--gpus-per-node=2", "-t", "30"), CUDA),
    Tried("ROCm", ("--gres=gpu:2", "-t", "30"), ROCM),
    Tried("CANN", ("--gres=gpu:2", "-t", "30"), "module load cann\nsleep 900"),
    Tried("DTK", ("--gres=gpu:2", "-t", "30"), "module load dtk\nsleep 900"),
    Tried("any vendor", ("--gres=gpu:1", "-t", "30"), f"#HET vendors=any\n{SCRIPT}"),
    Tried("lines", (), f"#SBATCH --gres=gpu:910b:1 -t 30\n{SCRIPT}"),
    Tried("inference", ("--gres=gpu:1", "-t", "30"), f"#HET scenario=inference\n{CUDA}"),
    Tried("a share", ("--gres=gpu:1", "-t", "30"),
          f"#HET scenario=inference memory=20G share=yes vendors=nvidia\n{SCRIPT}"),
    Tried("shards", ("--gres=shard:10", "-t", "30"), CUDA),
    Tried("too large a share", ("--gres=shard:49", "-t", "30"), CUDA),
    Tried("held", ("-H", "--gres=gpu:310p:1", "-t", "30")),
    Tried("begins later", ("--begin=now+2hours", "--gres=gpu:310p:1", "-t", "30")),
    Tried("named node", ("-p", "accel", "-w", "mlu1", "--gres=gpu:mlu370:1")),
    Tried("no device", ("-c1", "-t", "30")),
    Tried("too many nodes", ("-N3", "--gres=gpu:mi300x:1", "-t", "30")),
    Tried("too many devices", ("--gpus=24", "-t", "30"), ROCM),
    Tried("an array", ("-a", "0-1", "--gres=gpu:mi300x:1", "-t", "30")),
)  # fmt: skip


def ask(box: Sandbox, tried: Tried, number: int) -> Answered:
    """What `try` says. Raises HetError if it says nothing."""
    script = _script(box, tried, number)
    said: dict[str, Any] = json.loads(
        in_sandbox.ours(box, try_job, "--json", *LITTLE, *tried.words, str(script))
    )
    starts = said.get("starts") or {}
    return Answered(tried, str(said["answer"]), frozenset(starts.get("nodes") or ()))


def _script(box: Sandbox, tried: Tried, number: int) -> Path:
    path = Path(box.dir) / "work" / f"try-{number}.sh"
    path.write_text(f"#!/bin/sh\n{tried.script}\n")
    return path


def become(box: Sandbox, answered: list[Answered]) -> None:
    """Submit them all and see what becomes of each."""
    keys: list[str] = []
    for number, one in enumerate(answered):
        script = Path(box.dir) / "work" / f"try-{number}.sh"
        argv = ["sbatch", "--parsable", "-o", "/dev/null", *LITTLE, *one.tried.words, str(script)]
        done = box.run(argv, user=OWNER, timeout=in_sandbox.MOST_SECONDS)
        keys.append(done.stdout.strip() if done.returncode == 0 else "")
    now = [key for key, one in zip(keys, answered, strict=True) if one.said == "now" and key]
    in_sandbox.within(START_SECONDS, lambda: all(map(_runs(box).get, now)))
    time.sleep(WAIT_SECONDS)
    jobs = _jobs(box)
    for key, one in zip(keys, answered, strict=True):
        _judge(one, jobs.get(key, []), refused=not key)


def _judge(one: Answered, jobs: list[Job], *, refused: bool) -> None:
    ran = {name for job in jobs for name in hostlist.expand(job.nodes)}
    one.became = "refused" if refused else f"runs on {sorted(ran)}" if ran else "waits"
    if one.said == "slurm":
        one.right = bool(jobs) and not any(MARK in job.admin_comment for job in jobs)
    elif one.said == "now":
        one.right = bool(ran & one.nodes)
    else:
        one.right = not ran and (one.said == "never" or not refused)


def _jobs(box: Sandbox) -> dict[str, list[Job]]:
    """The records by the id that sbatch printed; of an array, all its tasks."""
    version = parse_version(in_sandbox.ok(box, "scontrol", "--version"))
    text = in_sandbox.ok(box, "squeue", "--all", "--states=all", version.squeue_json)
    found: dict[str, list[Job]] = {}
    for job in parse_jobs(text.encode(), memory_tracked=True):
        found.setdefault(str(job.array_job_id or job.id), []).append(job)
    return found


def _runs(box: Sandbox) -> dict[str, bool]:
    lines = in_sandbox.ok(box, "squeue", "-h", "-a", "-t", "R", "-o", "%F").split()
    return dict.fromkeys(lines, True)


def main(say: Callable[[str], None] = SAY) -> None:
    """Print the table, and put it into RESULTS.md."""
    parser = recorded(__doc__)
    options = parser.parse_args()
    with in_sandbox.fresh() as box:
        busy = [
            in_sandbox.submit(box, *words, script="#!/bin/sh\nsleep 900\n") for words in full(NV)
        ]
        if not in_sandbox.within(START_SECONDS, lambda: all(map(_runs(box).get, busy))):
            raise HetError("the nodes that were to be busy are not")
        answered = [ask(box, tried, number) for number, tried in enumerate(TRIED)]
        become(box, answered)
    for one in answered:
        say(f"{'ok' if one.right else 'WRONG'}: {one.tried.name}: {one.said}; {one.became}")
    said, right = Counter(a.said for a in answered), Counter(a.said for a in answered if a.right)
    rows = [[name, f"{right[name]}", f"{count}"] for name, count in sorted(said.items())]
    rows.append(["all", f"{right.total()}", f"{said.total()}"])
    load = f"Slurm {slurm_version().text}, load {os.getloadavg()[2]:.0f}"
    text = [*head("try_scripts", "./dev bench try_scripts", load), *table(COLUMNS, rows)]
    publish(text, options)


if __name__ == "__main__":
    main()
