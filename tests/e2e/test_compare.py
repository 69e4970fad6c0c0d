"""End to end: `./dev compare`. The scenarios that hold today, in short, and what the tool says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.compare import report, scenario
from bench.compare.run import compare
from slurm_het.sandbox.layout import require_programs
from tests.support.cluster import PATIENCE, cannot_run_slurm, need_accounting, sandbox_dir

pytestmark = pytest.mark.slurm

HOLDING = [n for n in scenario.names() if not scenario.load(scenario.path_of(n)).not_yet]


def in_turn() -> list[str]:
    """Every eighth of those that hold, on each of the three Slurm versions another one.

    A scenario takes a minute. `./dev compare all` runs all of them, whole, on any version.
    """
    if cannot_run_slurm():
        return HOLDING
    return HOLDING[require_programs().major // 2 % 3 :: 8]


MINE = """
what: one card for two, and a bound that cannot hold
cluster:
  nodes:
  - {name: a1, type: a100, vendor: nvidia, devices: 1, memory_gib_per_device: 80,
     cpus: 8, memory_gib: 64, pool: train, scenario: training}
seconds: 12
sbatch: [--mem, "100"]
events:
- {at: 1, run: [scontrol, create, reservation, ReservationName=r, StartTime=now+2hours,
                Duration=5, Nodes=a1, Users=root]}
submissions:
- {name: tasks, user: daemon, sbatch: [--gres=gpu:1, --array=0-1], sleep: 2}
- {name: two, at: 1, user: mail, sbatch: [-p, nosuch, --gres=gpu:1], verdict: refused}
- {name: cpu, sbatch: [-c2]}
bounds: {busy: 9, as_many_start: true, same_verdict: true}
"""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """./dev setup installs what is missing."""
    need_accounting()


@pytest.mark.parametrize("name", in_turn())
def test_a_scenario_holds(name: str) -> None:
    path = scenario.path_of(name)
    whole = scenario.load(path)
    short = whole.until(whole.quick)
    with sandbox_dir() as base:
        seen = compare(short, short.topology(path), base, print)
    assert not seen.broken(), report.text(seen)


@contextmanager
def tool(*arguments: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """The tool; if it runs still when the test is done, it is ended, and what it said is shown;
    if it does not end, where its threads are, and its sandboxes stay."""
    command = [sys.executable, "-X", "faulthandler", "-m", "bench.compare", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **(pipes | options)) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if process.poll() is None:
                _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        said = process.communicate(timeout=PATIENCE / 2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints each thread's stack
        said = process.communicate(timeout=PATIENCE / 2)
    print(*said)


def test_the_tool_tells_each_job_and_fails_by_a_broken_bound() -> None:
    with sandbox_dir() as base:
        mine = base / "mine.yaml"
        mine.write_text(MINE)
        with tool(str(mine), "--json") as process:
            said, progress = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 1, progress
    found = json.loads(said)
    assert [broken["bound"] for broken in found["broken"]] == ["busy"]
    jobs = {(job["submission"], job["place"]): job for job in found["jobs"]}
    assert set(jobs) == {("tasks", 1), ("tasks", 2), ("two", 1), ("cpu", 1)}
    for side in ("plain", "ours"):
        tasks = [jobs["tasks", place][side] for place in (1, 2)]
        assert sorted(task["id"].partition("_")[2] for task in tasks) == ["0", "1"]
        for task in tasks:
            assert [(r["partition"], r["nodes"], r["devices"]) for r in task["runs"]] == [
                ("train", ["a1"], 1)
            ]
        assert tasks[1]["runs"][0]["start"] >= tasks[0]["runs"][0]["end"]
        assert jobs["cpu", 1][side]["runs"][0]["devices"] == 0
        refused = jobs["two", 1][side]
        assert not refused["accepted"]
        assert "nvalid partition" in refused["said"]
        assert found["totals"][side]["busy_device_seconds"] >= 3
    assert found["totals"]["plain"]["refused"] == 1


@pytest.mark.timeout(4 * PATIENCE)
def test_nothing_stays_when_the_tool_is_ended() -> None:
    with sandbox_dir() as base:
        mine = base / "mine.yaml"
        mine.write_text(MINE.replace("seconds: 12", "seconds: 500"))
        environment = os.environ | {"TMPDIR": str(base)}
        with tool(str(mine), env=environment) as process:
            assert process.stderr
            while "side by side" not in process.stderr.readline():
                assert process.poll() is None
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=2 * PATIENCE)
        assert process.returncode != 0
        assert [path for path in Path(base).iterdir() if path != mine] == []
