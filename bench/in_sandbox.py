"""What the benchmarks say to a sandbox; every wait is bounded, and an error names the command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.topology import INTAKE, Topology
from slurm_het.settings import PlannerSettings
from slurm_het.slurm.records import parse_fields

POLL_SECONDS = 0.3
TRIES = 5
SIDE_BY_SIDE = 4
MOST_SECONDS = 150.0  # for a command, on a machine that does much else
AS_DELIVERED = {"planner": {"grace_seconds": PlannerSettings().grace_seconds}}
"""Laid over het.yaml: a sandbox takes a pin back sooner, for quick tests."""


@contextmanager
def fresh(
    topology: Topology | None = None,
    *,
    het: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[Sandbox]:
    """A sandbox in a directory of its own, with hook and hetd or plain; of the default topology."""
    base = Path(tempfile.mkdtemp(prefix="het-bench-"))
    base.chmod(0o755)  # munged wants its socket reachable for all
    try:
        with Sandbox.up(base / "box", topology, hetd=het, hook=het, overrides=overrides) as box:
            yield box
    finally:
        shutil.rmtree(base, ignore_errors=True)


def ok(box: Sandbox, *argv: str, user: str | None = None) -> str:
    """The output of a command that must succeed in the end: a slurmctld that does much else may
    refuse what it takes a moment later."""
    said = ""
    for _ in range(TRIES):
        try:
            done = box.run(argv, user=user, timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired as error:
            said = str(error)
            continue
        if done.returncode == 0:
            return str(done.stdout)
        said = (done.stderr or done.stdout).strip()
        time.sleep(POLL_SECONDS)
    raise HetError(f"{' '.join(argv)}: {said}")


def ours(box: Sandbox, command: click.Command, *words: str) -> str:
    """What a command of ours prints, in this process: it is asked often, and to start costs most.
    Its exit code is an answer, too. Raises HetError if it prints nothing."""
    done = CliRunner(env=box.env).invoke(command, list(words))
    if not done.stdout:
        raise HetError(f"{command.name} {' '.join(words)}: {done.output or done.exception!r}")
    return done.stdout


def submit(box: Sandbox, *options: str, script: str, user: str = "nobody") -> str:
    """Submit a script given as text; the job id."""
    argv = ["sbatch", "--parsable", "-o", "/dev/null", *options]
    done = box.run(argv, user=user, input=script, timeout=MOST_SECONDS)
    if done.returncode:
        raise HetError(f"sbatch {' '.join(options)}: {done.stderr.strip()}")
    return str(done.stdout).strip().split(";")[0]


def fill(box: Sandbox, jobs: int, script: str, options: str) -> None:
    """Submit so many jobs with these options, in which $i counts them, from several processes."""
    file = box.layout.work / "job.sh"
    file.write_text(script)
    each = f"sbatch -Q -o /dev/null -p {INTAKE} -J job-$i {options} {file}"
    loop = f"for i in $(seq {jobs // SIDE_BY_SIDE}); do {each}; done"
    side_by_side(box, loop, SIDE_BY_SIDE)


def side_by_side(box: Sandbox, loop: str, processes: int) -> None:
    """Run a shell's loop in so many processes at once, to its end."""
    workers = [
        subprocess.Popen(["sh", "-c", loop], env=box.env, cwd=box.layout.work)
        for _ in range(processes)
    ]
    try:
        for worker in workers:
            worker.wait(timeout=1800)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def job(box: Sandbox, key: str) -> dict[str, str]:
    """`scontrol show job` of one job."""
    done = box.run(["scontrol", "-o", "show", "job", key], timeout=MOST_SECONDS)
    return parse_fields(" ".join(done.stdout.splitlines()))


def state(box: Sandbox, key: str) -> str:
    """Its state; '' if there is no such job."""
    return job(box, key).get("JobState", "")


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it becomes true in that time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def clear(box: Sandbox, seconds: float = 120.0) -> None:
    """Cancel all jobs and wait until the cluster is idle. Raises HetError if it does not get so."""
    listed = ("squeue", "-h", "-a", "-o", "%A")
    if keys := ok(box, *listed).split():
        box.run(["scancel", "--state=PENDING", *keys])
        box.run(["scancel", "--full", "-s", "KILL", *keys])
        box.run(["scancel", *keys])
    if not within(seconds, lambda: not ok(box, *listed).split()):
        raise HetError(f"not all jobs have ended within {seconds:g} s")
