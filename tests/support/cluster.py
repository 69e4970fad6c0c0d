"""What the end-to-end tests say to a sandbox, and how they read its truth; waits are bounded."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slurm_het.config import load_config
from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.model import Job, Placement
from slurm_het.core.views.accuracy import ToldStart
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import ACCOUNTING_PROGRAMS, PROGRAMS, search_path
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.records import parse_fields, parse_partitions
from slurm_het.slurm.versions import TRANSIENT, parse_version
from tests.support.asked import asked
from tests.support.sockets import short_dir

ENDED = {
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY",
    "DEADLINE", "PREEMPTED",
}  # fmt: skip


PATIENCE = 60.0  # seconds for what takes one or two: the machines that test are slow at times
SIDE_DOOR = "side"
# For tests of what the hook is told: a machine that stalls for 50 ms would have it told nothing.
AMPLE = {"hook": {"deadline_ms": 2000}}


def cannot_run_slurm() -> str:
    """Why real Slurm cannot run here, or ''."""
    missing = [p for p in (*PROGRAMS, "lua5.1") if not shutil.which(p, path=search_path())]
    if missing:
        return f"not installed: {', '.join(missing)} (./dev setup installs them)"
    return "" if os.geteuid() == 0 else "needs root: slurmd starts jobs as their users"


@contextmanager
def sandbox_dir() -> Iterator[Path]:
    """A directory for a sandbox and what belongs to it; skips the test where Slurm cannot run."""
    if why := cannot_run_slurm():
        pytest.skip(why)
    with short_dir() as base:
        yield base


def need_accounting() -> None:
    """Skip the test where slurmdbd or MariaDB is not installed."""
    missing = [p for p in ACCOUNTING_PROGRAMS if not shutil.which(p, path=search_path())]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (./dev setup installs them)")


@contextmanager
def own_sandbox(nodes: str = "", **options: Any) -> Iterator[Sandbox]:
    """A sandbox for one module, the default one unless its topology file is to have these `nodes`.

    The other options are those of Sandbox.up. It is in a `sandbox_dir`.
    """
    if options.get("accounting"):
        need_accounting()
    with sandbox_dir() as base:
        topology = base / "topology.yaml" if nodes else None
        if topology:
            topology.write_text(nodes)
        with Sandbox.up(base / "box", topology, **options) as box:
            yield box


def with_partitions(conf: str, options: Mapping[str, str]) -> str:
    """The text of slurm.conf with these words on partitions' lines, in place of those that set the
    same."""
    lines = conf.splitlines()
    for name, text in options.items():
        (n,) = (n for n, line in enumerate(lines) if line.startswith(f"PartitionName={name} "))
        keys = {word.partition("=")[0] for word in text.split()}
        kept = [word for word in lines[n].split() if word.partition("=")[0] not in keys]
        lines[n] = " ".join([*kept, text])
    return "\n".join(lines) + "\n"


class Cluster:
    """A sandbox with verbs."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.side_door = False

    def ok(self, *argv: str, user: str | None = None) -> str:
        """Run a command that must succeed, as often as Slurm says `try again`; its output."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.box.run(list(argv), user=user)
            refused = any(text in done.stderr for text in TRANSIENT)
            if not refused or time.monotonic() > deadline:
                break
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return str(done.stdout)

    def tool(self, module: str, *arguments: str) -> str:
        """Run one of our own programs (slurm_het.cli.MODULE) against the sandbox; its output."""
        return self.ok(sys.executable, "-m", f"slurm_het.cli.{module}", *arguments)

    def sbatch(self, *options: str, script: str = "sleep 1", user: str | None = None) -> str:
        """Submit a script given as text; the job id."""
        text = f"#!/bin/bash\n{script}\n"
        argv = ["sbatch", "--parsable", "-o", "/dev/null", *options]
        done = self.box.run(argv, user=user, input=text)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip().split(";")[0]

    def job(self, key: str) -> dict[str, str]:
        """`scontrol show job` of one job, as a dict."""
        done = self.box.run(["scontrol", "-o", "-d", "show", "job", key])
        return parse_fields(" ".join(str(done.stdout).splitlines()))

    def jobs(self) -> tuple[Job, ...]:
        """All jobs of Slurm's JSON, finished ones included."""
        version = parse_version(self.ok("scontrol", "--version"))
        text = self.ok("squeue", "--all", "--states=all", version.squeue_json)
        return parse_jobs(text.encode(), memory_tracked=True)

    def wait(
        self, what: str, true: Callable[[], object], seconds: float = PATIENCE, job: str = ""
    ) -> None:
        """Poll until true; fails with `what`, and how `job` is then, after `seconds`."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:g} s: {what}\n{self.story(job) if job else ''}")
            time.sleep(0.1)

    def story(self, key: str) -> str:
        """What Slurm and the journal say of a job, for the message of a test that fails."""
        record = self.box.run(["scontrol", "-d", "show", "job", key]).stdout
        why = self.box.run([sys.executable, "-m", "slurm_het.cli.admin", "why", key])
        return f"{record}{why.stdout}{why.stderr}"

    def wait_state(self, key: str, *states: str, seconds: float = PATIENCE) -> dict[str, str]:
        """Wait until a job is in one of the states; its record, as it was then."""
        record: dict[str, str] = {}

        def reached() -> bool:
            record.clear()
            record.update(self.job(key))
            return record.get("JobState") in states

        self.wait(f"job {key} is {'|'.join(states)}", reached, seconds, job=key)
        return record

    def wait_started(self, key: str, seconds: float = PATIENCE) -> dict[str, str]:
        """Wait until a job runs, or has run. (A COMPLETING one has fewer and fewer nodes.)"""
        return self.wait_state(key, "RUNNING", "COMPLETED", seconds=seconds)

    def gate(self) -> str:
        """State of the intake partition."""
        records = parse_partitions(self.ok("scontrol", "-o", "show", "partition", "accel"))
        return records[0].state

    @contextmanager
    def gate_opens(self) -> Iterator[None]:
        """What is done here has the gate opened, however soon hetd closes it again."""

        def times() -> int:
            log = self.box.layout.log_of("slurmctld").read_text(errors="replace")
            return log.count("setting state_up to 3 for partition accel")

        before = times()
        yield
        self.wait("the gate was opened", lambda: times() > before, 30)

    def planned(self, key: str) -> Placement | None:
        """The newest placement in hetd's journal."""
        journal = Journal(load_config(self.box.config_path).paths.journal, read_only=True)
        try:
            return journal.placement_of(key)
        finally:
            journal.close()

    def outcomes(self, key: str) -> list[str]:
        """The journal's events of a job; `busy`, after which hetd tries again, is left out."""
        journal = Journal(load_config(self.box.config_path).paths.journal, read_only=True)
        try:
            return [event for _, event, _ in journal.outcomes_of(key) if event != "busy"]
        finally:
            journal.close()

    def end(self, key: str) -> JobEnd | None:
        """How a job ended, as hetd has journaled it."""
        journal = Journal(load_config(self.box.config_path).paths.journal, read_only=True)
        try:
            return journal.history(key).end
        finally:
            journal.close()

    def told(self, key: str) -> ToldStart | None:
        """When hetd told a job to start, and when it did, as it is journaled."""
        journal = Journal(load_config(self.box.config_path).paths.journal, read_only=True)
        try:
            return journal.history(key).told
        finally:
            journal.close()

    def learned(self) -> set[TaskProfile]:
        """What hetd has journaled of the jobs to be expected."""
        journal = Journal(load_config(self.box.config_path).paths.journal, read_only=True)
        try:
            return set(asked(journal))
        finally:
            journal.close()

    def open_side_door(self) -> None:
        """Until the test ends, a partition that is no pool has all nodes: hetd pins ahead then."""
        self.ok("scontrol", "create", f"PartitionName={SIDE_DOOR}", "Nodes=ALL", "State=UP")
        self.side_door = True

    def clear(self) -> None:
        """Cancel everything and wait until the cluster is idle."""
        keys = self.ok("squeue", "-h", "-a", "-o", "%A").split()
        if keys:
            self.box.run(["scancel", "--state=PENDING", *keys])
            # SIGKILL to the steps first: Slurm's polite way waits for what a script waits for.
            self.box.run(["scancel", "--full", "-s", "KILL", *keys])
            self.box.run(["scancel", *keys], timeout=2 * PATIENCE)
        deadline = time.monotonic() + 2 * PATIENCE
        while left := self.ok("squeue", "-h", "-a", "-o", "%A").split():
            if time.monotonic() > deadline:
                pytest.fail(
                    f"not within {2 * PATIENCE:g} s: the cluster is idle\n{self.story(left[0])}"
                )
            time.sleep(0.1)
        if self.side_door:
            # Unless a reconfiguration has done that.
            self.box.run(["scontrol", "delete", f"PartitionName={SIDE_DOOR}"])
            self.side_door = False

    def hook_log(self) -> list[str]:
        """The hook's lines in slurmctld's log."""
        text = (Path(self.box.dir) / "log" / "slurmctld.log").read_text(errors="replace")
        return [line for line in text.splitlines() if "slurm-het:" in line]

    def hook_micros(self, lines: Sequence[str] | None = None) -> list[int]:
        """The hook's own time per call, microseconds."""
        found = (re.search(r" us=(\d+)", line) for line in lines or self.hook_log())
        return [int(m.group(1)) for m in found if m]
