"""./dev compare without Slurm: scenarios as data, Slurm's records, and what is made of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.compare import report, scenario
from bench.compare.records import JobSeen, Run, Side, Window, read_runs, started
from bench.compare.run import put_off
from bench.compare.scenario import Bounds, Scenario, Submission
from bench.compare.side import array_of
from bench.compare.verdict import Comparison
from bench.in_sandbox import AS_DELIVERED
from slurm_het.config import parse_config
from slurm_het.errors import HetError
from slurm_het.sandbox.render import deep_merge
from slurm_het.settings import PlannerSettings
from tests.support import world

CLUSTER = """
what: a test
cluster:
  nodes:
  - {name: a1, type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
     cpus: 64, memory_gib: 512, pool: train, scenario: training}
  accounting:
    accounts: {research: {}}
    users: {daemon: {Account: research}}
seconds: 60
"""
JOBS = "submissions: [{name: one, user: daemon}]\n"
BOUNDS = "bounds: {busy: 0.9}\n"


def test_het_is_compared_as_delivered(tmp_path: Path) -> None:
    laid_over = deep_merge(yaml.safe_load(world.config_text(tmp_path)), AS_DELIVERED)
    assert parse_config(yaml.safe_dump(laid_over)).planner == PlannerSettings()


@pytest.mark.parametrize("name", scenario.names())
def test_the_projects_scenarios_are_right(name: str) -> None:
    path = scenario.path_of(name)
    found = scenario.load(path)
    assert found.what
    assert found.topology(path).accelerator_groups


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLUSTER + JOBS, "bounds"),
        (CLUSTER + JOBS + "bounds: {}", "there is none of busy, later_seconds"),
        (CLUSTER + JOBS + "bounds: {bussy: 1}", "$.bounds"),
        (CLUSTER + JOBS + "bounds: {later_seconds: {two: 1}}", "'two' is none of one"),
        (CLUSTER + BOUNDS + "submissions: []", "submissions: there is none"),
        (CLUSTER + BOUNDS + "submissions: [{name: a, user: mail}]", "users: root, daemon"),
        (CLUSTER + BOUNDS + "submissions: [{name: a, at: 60}]", "60 is not in 0 to 60"),
        (CLUSTER + BOUNDS + "submissions: [{name: a}, {name: a}]", "another submission has it"),
        (CLUSTER + BOUNDS + "submissions: [{name: a, sbatch: -N2}]", "$.submissions[0].sbatch"),
        (CLUSTER + JOBS + BOUNDS + "events: [{run: [reboot]}]", "one of scontrol, sacctmgr"),
        (CLUSTER.replace("pool: train", "pol: train") + JOBS + BOUNDS, "unknown field `pol`"),
        (CLUSTER.replace("seconds: 60", "seconds: .nan") + JOBS + BOUNDS, "not above 0"),
        (CLUSTER + JOBS + BOUNDS + "what: [", "while parsing"),
    ],
)
def test_a_wrong_scenario_is_refused_with_place_and_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(HetError) as refused:
        scenario.load(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)
    assert "correct" in str(refused.value)


def test_a_scenario_that_is_none_names_those_there_are() -> None:
    with pytest.raises(HetError, match="limit-user"):
        scenario.path_of("no-such")


def test_a_short_run_leaves_out_what_comes_later() -> None:
    path = scenario.path_of("big-never")
    whole = scenario.load(path)
    short = whole.until(20)
    assert short.seconds == 20
    assert {s.name for s in whole.submissions} - {s.name for s in short.submissions} == {"big"}
    assert whole.until(10_000) == whole


@pytest.mark.parametrize(
    ("words", "script", "indexes"),
    [
        (["--array=0-2"], "", [0, 1, 2]),
        (["-a", "1,4-8:2%1"], "", [1, 4, 6, 8]),
        (["-N1"], "#!/bin/sh\n#SBATCH --array=3\n", [3]),
        (["-a5"], "#SBATCH -a 1-2\n", [5]),
        (["--account=x"], "echo '#SBATCH -a 1'\n", []),
        (["-a", "1-x"], "", []),
    ],
)
def test_arrays_are_told_by_their_tasks(words: list[str], script: str, indexes: list[int]) -> None:
    assert array_of(words, script) == indexes


SACCT = """\
1|COMPLETED|100|100|130|train|a[1-2]|billing=2,cpu=2,gres/gpu:a100=16,gres/gpu=16,mem=1G,node=2
2|PREEMPTED|100|110|120|train|a1|cpu=1,gres/gpu=8,gres/gpu:a100=8
2|RUNNING|120|140|Unknown|train|a2|cpu=1,gres/gpu=8,gres/gpu:a100=8
3|PENDING|100|Unknown|Unknown|accel|None assigned|
4_1|CANCELLED by 0|100|150|170|train|a1|cpu=1,gres/shard=40
5|COMPLETED|100|161|170|train|a1|cpu=1,gres/gpu=1
6|CANCELLED|100|None|150|train|None assigned|
"""


def test_runs_are_read_from_sacct_and_end_with_the_window() -> None:
    runs = read_runs(SACCT, Window(100.5, 60, {"a1": 80}))
    assert runs["1"] == [Run(0.0, 29.5, ("a1", "a2"), "train", 16, "a100:16", "COMPLETED")]
    assert [(r.start, r.end, r.state) for r in runs["2"]] == [
        (9.5, 19.5, "PREEMPTED"), (39.5, 60, "RUNNING"),
    ]  # fmt: skip
    assert runs["4_1"] == [Run(49.5, 60, ("a1",), "train", 0.5, "shard:40", "RUNNING")]
    assert set(runs) == {"1", "2", "4_1"}
    assert started(SACCT) == {"1", "2", "4_1", "5"}


def side(name: str, *jobs: JobSeen) -> Side:
    return Side(name, jobs, seconds=100, devices=8)


def seen(name: str, wait: float | None, seconds: float = 10, state: str = "COMPLETED") -> JobSeen:
    """A job of 8 devices, submitted at 0."""
    runs = [] if wait is None else [Run(wait, wait + seconds, ("a1",), "train", 8, "a100:8", state)]
    return JobSeen(name, 0.0, "7", runs=runs, reason="Resources")


def refused(name: str) -> JobSeen:
    return JobSeen(name, 0.0, "", "sbatch: error: no")


def compared(plain: list[JobSeen], ours: list[JobSeen], **bounds: object) -> Comparison:
    submissions = tuple(Submission(name=name) for name in dict.fromkeys(job.name for job in plain))
    made = Scenario(
        what="", cluster={}, seconds=100, submissions=submissions,
        bounds=Bounds(**bounds),  # type: ignore[arg-type]
    )  # fmt: skip
    return Comparison(made, side("plain", *plain), side("slurm-het", *ours))


def broken(found: Comparison) -> list[str]:
    return [f"{b.bound}: {b.says}" for b in found.broken()]


def test_jobs_of_a_submission_are_compared_in_the_order_of_their_starts() -> None:
    plain = [seen("a", 0), seen("a", 20), seen("b", 0)]
    ours = [seen("a", 25), seen("a", 0), seen("b", 1)]
    found = compared(plain, ours, later_seconds=5)
    assert [(p.name, p.place, p.later) for p in found.pairs] == [
        ("a", 1, 0), ("a", 2, 5), ("b", 1, 1),
    ]  # fmt: skip
    assert [p.worse for p in found.pairs] == [False, True, False]
    assert not found.broken()
    late = broken(compared(plain, ours, later_seconds={"a": 4}))
    assert late == [
        "later_seconds: a: job 2 to start waited 25 s; under plain Slurm 20 s; at most 4 s later"
    ]


def test_a_job_that_does_not_start_is_as_late_as_the_end_shows() -> None:
    found = compared([seen("a", 90)], [seen("a", None)], later_seconds=20)
    assert found.pairs[0].worse
    assert not found.broken(), "it could still start in time"
    assert "a: job 1 to start waited to the end (Resources)" in broken(
        compared([seen("a", 70)], [seen("a", None)], later_seconds=20)
    )[0]  # fmt: skip
    many = compared([seen("a", 70)], [seen("a", None)], as_many_start=True)
    assert broken(many) == ["as_many_start: a: 0 started; under plain Slurm 1"]
    assert not compared([seen("a", None)], [seen("a", 3)], as_many_start=True).broken()


def test_a_job_that_is_refused_fared_worse_and_the_message_is_shown() -> None:
    found = compared([seen("a", 1), refused("b")], [refused("a"), seen("b", 1)], same_verdict=True)
    assert [pair.worse for pair in found.pairs] == [True, False]
    assert broken(found) == [
        "same_verdict: a: refused: sbatch: error: no; plain Slurm accepted it",
        "same_verdict: b: accepted; plain Slurm refused it: sbatch: error: no",
    ]
    assert "refused" in report.text(found)


def test_refusals_in_other_words_are_told() -> None:
    ours = JobSeen("a", 0.0, "", "sbatch: error: no node has nine")
    found = compared([refused("a"), refused("b")], [ours, refused("b")], same_verdict=True)
    assert not found.broken()
    assert "2 were refused by both, 1 of them in other words" in report.text(found)
    told = report.text(found, everything=True)
    assert "plain: sbatch: error: no\n    slurm-het: sbatch: error: no node has nine" in told


def test_busy_and_lost_are_shares_of_plain_slurms() -> None:
    plain = [seen("a", 0, 50), seen("b", 50, 10, "PREEMPTED")]
    ours = [seen("a", 0, 40), seen("b", 50, 8, "PREEMPTED")]
    found = compared(plain, ours, busy=0.9, lost=0.7)
    assert (found.plain.busy, found.ours.busy, found.plain.lost, found.ours.lost) == (
        480, 384, 80, 64,
    )  # fmt: skip
    assert broken(found) == [
        "busy: 0.800 of plain Slurm's device-seconds; at least 0.9",
        "lost: 64 device-seconds lost; under plain Slurm 80; at most 0.7 of that",
    ]
    assert not compared(plain, plain, busy=1, lost=1).broken()
    nothing = compared([seen("a", None)], [seen("a", None)], busy=1, lost=0.5)
    assert not nothing.broken()


def test_what_is_known_of_plain_slurm_is_checked() -> None:
    found = compared([refused("a")], [refused("a")], same_verdict=True)
    submission = Submission(name="a", verdict="accepted")
    made = Scenario(
        what="", cluster={}, seconds=1, submissions=(submission,), bounds=found.scenario.bounds
    )
    wrong = Comparison(made, found.plain, found.ours)
    assert broken(wrong) == ["verdict: a: plain Slurm refused it: sbatch: error: no"]


def test_the_report_says_what_is_known_not_to_hold() -> None:
    found = compared([seen("a", 0)], [seen("a", 30)], later_seconds=5)
    text = report.text(found)
    assert "1 of 1 jobs fared worse" in text
    assert "BROKEN later_seconds" in text
    data = json.loads(json.dumps(report.data("test", found)))
    assert data["broken"][0]["bound"] == "later_seconds"
    assert data["jobs"][0]["ours"]["runs"][0]["start"] == 30
    assert data["busy_over_time"]["plain"][0] == 1.0
    good = report.text(compared([seen("a", 0)], [seen("a", 0)], later_seconds=5))
    assert "none of 1 jobs fared worse" in good
    assert "all bounds hold" in good


EACH_LINE = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from bench.compare import run

run.LOOK_UP_SECONDS = 0.01
signal.signal(signal.SIGTERM, signal.default_int_handler)
lines = 0

def trace(frame, event, _argument):
    global lines
    if event == "line":
        lines += 1
        if lines == wanted:
            os.kill(os.getpid(), signal.SIGTERM)
    return trace if "/concurrent/futures/" in frame.f_code.co_filename else None

for wanted in range(1, 200):
    lines, told, stop, pool = 0, False, threading.Event(), ThreadPoolExecutor(2)
    try:
        with run.put_off() as look:
            futures = [pool.submit(stop.wait, 20) for _ in range(2)]
            sys.settrace(trace)
            run.results(futures, look)
    except KeyboardInterrupt:
        told = True
    sys.settrace(None)
    stop.set()
    pool.shutdown(wait=False)
    for thread in pool._threads:
        thread.join(5)
    if not told or any(thread.is_alive() for thread in pool._threads):
        print("told to end at line", wanted, "of the wait:", told, pool._threads, flush=True)
        os._exit(1)
"""


def test_a_signal_amid_the_wait_for_both_sides_leaves_no_lock_taken() -> None:
    argv = [sys.executable, "-c", EACH_LINE]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_signal_does_not_break_off_the_end_of_the_sandboxes() -> None:
    ended = []

    def run() -> None:
        with put_off() as look:
            try:
                signal.raise_signal(signal.SIGTERM)
                look()
            finally:
                signal.raise_signal(signal.SIGINT)
                ended.append("both")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert ended == ["both"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_counts_even_where_a_side_fails_at_that_moment() -> None:
    def run() -> None:
        with put_off():
            signal.raise_signal(signal.SIGTERM)
            raise HetError("a side has failed")

    with pytest.raises(KeyboardInterrupt):
        run()
