"""The demonstration: submit the examples with plain sbatch, compare plan with truth, clean up."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm_het.config import load_config
from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.model import Job, Placement
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres, hostlist
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.resources import data_dir
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.versions import parse_version

Say = Callable[[str], None]
START_SECONDS = 90
VIEW_SECONDS = 3.0
_FAILED = {"CANCELLED", "FAILED", "DEADLINE", "BOOT_FAIL", "NODE_FAIL"}


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One job of the demonstration: what was planned and what Slurm did."""

    key: str
    script: str
    plan: str
    truth: str
    ok: bool


def run_demo(box: Sandbox, say: Say) -> bool:
    """Submit, watch, compare. Returns whether every job started where the plan said."""
    policy = load_config(box.config_path).policy
    scripts = _submit(box, say)
    seen: dict[str, Job] = {}
    deadline, view_at = time.monotonic() + START_SECONDS, time.monotonic() + 1.5
    while time.monotonic() < deadline:
        waiting = _observe(box, seen, scripts)
        if time.monotonic() > view_at:
            say("\n$ het-squeue\n" + _view(box))
            view_at = time.monotonic() + VIEW_SECONDS
        if not waiting and not _left(box):
            break
        time.sleep(0.3)
    say("\n$ het-squeue\n" + _view(box))
    rows = compare(seen, scripts, _planned(box), policy)
    say("\nplan against truth (Slurm's own records)\n" + table(rows))
    return all(row.ok for row in rows)


def _submit(box: Sandbox, say: Say) -> dict[int, str]:
    """Submit every example as an ordinary user would; job id → script name."""
    ids: dict[int, str] = {}
    for source in sorted((data_dir("examples") / "jobs").glob("*.sh")):
        script = Path(shutil.copy(source, box.layout.work))
        script.chmod(0o755)
        done = box.run(["sbatch", script.name], user="nobody")
        say(f"$ sbatch {script.name:<28} {(done.stdout or done.stderr).strip()}")
        if done.returncode != 0:
            raise HetError(f"sbatch refused {script.name}: {done.stderr.strip()}")
        ids[int(done.stdout.split()[-1])] = script.name
    return ids


def _jobs(box: Sandbox) -> tuple[Job, ...]:
    version = parse_version(box.run(["scontrol", "--version"]).stdout)
    done = box.run(["squeue", "--all", version.squeue_json])
    return parse_jobs(done.stdout.encode(), memory_tracked=True)


def _observe(box: Sandbox, seen: dict[str, Job], scripts: dict[int, str]) -> int:
    """Keep each job as first seen with nodes and devices; how many have not started."""
    waiting = 0
    for job in _jobs(box):
        if job.id not in scripts and job.array_job_id not in scripts:
            continue
        if job.state == "PENDING":
            waiting += 1
        if (
            job.nodes and (job.key not in seen or not seen[job.key].gres_detail)
        ) or job.state in _FAILED:
            seen[job.key] = job
    return waiting


def _left(box: Sandbox) -> bool:
    """Whether a job still runs: the demonstration ends when the examples have."""
    return bool(box.run(["squeue", "--all", "--noheader"]).stdout.strip())


def _view(box: Sandbox) -> str:
    done = box.run([sys.executable, "-m", "slurm_het.cli.squeue"], timeout=30)
    return (done.stdout + done.stderr).rstrip()


def _planned(box: Sandbox) -> dict[str, Placement]:
    journal = Journal(load_config(box.config_path).paths.journal, read_only=True)
    try:
        return {placement.key: placement for placement in journal.placements()}
    finally:
        journal.close()


def compare(
    seen: dict[str, Job],
    scripts: dict[int, str],
    planned: dict[str, Placement],
    policy: Policy,
) -> list[DemoRow]:
    """One row per job, array tasks singly; a job that was never seen started is not ok."""
    rows = []
    for job_id, script in sorted(scripts.items()):
        keys = [k for k, j in seen.items() if job_id in {j.id, j.array_job_id}]
        if not keys:
            rows.append(DemoRow(str(job_id), script, "-", "did not start", False))
        for key in sorted(keys, key=_number):
            rows.append(_row(seen[key], script, planned.get(key), policy))
    return rows


def _number(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split("_"))


def _row(job: Job, script: str, plan: Placement | None, policy: Policy) -> DemoRow:
    truth = held_indexes(job, policy)
    shown = f"{job.partition} " + (_devices(truth) if any(truth.values()) else job.nodes)
    if plan is None:
        untouched = not job.admin_comment and not any(truth.values())
        return DemoRow(job.key, script, "(none: no accelerators)", shown, untouched)
    where = dict(zip(plan.nodes, plan.devices, strict=True))
    if job.state in _FAILED:
        return DemoRow(job.key, script, f"{plan.partition} {_devices(where)}", job.state, False)
    same = set(hostlist.expand(job.nodes)) == set(plan.nodes) and job.partition == plan.partition
    if job.gres_detail:  # 22.05 tells no devices of a job that ended before it was looked at
        same = same and _counts(truth) == _counts(where)
        if same and truth != where:  # which cards of a node is Slurm's choice when the job starts
            shown += "  (cards that were freed after the plan)"
    return DemoRow(job.key, script, f"{plan.partition} {_devices(where)}", shown, same)


def _counts(where: dict[str, tuple[int, ...]]) -> dict[str, int]:
    return {node: len(indexes) for node, indexes in where.items()}


def _devices(where: dict[str, Any]) -> str:
    return gres.format_places(where.items())


def table(rows: list[DemoRow]) -> str:
    """The rows as aligned text."""
    head = DemoRow("JOB", "SCRIPT", "PLAN", "TRUTH", True)
    wide = [max(len(getattr(r, f)) for r in [head, *rows]) for f in ("key", "script", "plan")]
    lines = [f"{'JOB':<{wide[0]}}  {'SCRIPT':<{wide[1]}}  {'PLAN':<{wide[2]}}  {'TRUTH'}"]
    for r in rows:
        verdict = "" if r.ok else "   <-- NOT AS PLANNED"
        lines.append(
            f"{r.key:<{wide[0]}}  {r.script:<{wide[1]}}  {r.plan:<{wide[2]}}  {r.truth}{verdict}"
        )
    good = sum(r.ok for r in rows)
    return "\n".join([*lines, f"{good} of {len(rows)} jobs are where the plan said"])
