"""End to end: a program that failed on one vendor's devices goes to another's the next time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from slurm_het.core.worth.speeds import LEAST_RUNS
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
ANN, BOB = "nobody", "daemon"
BOTH = {
    "default_vendors": ["amd", "nvidia"],
    "planner": {"speed_patience": 1.0},
    "throughput": {"training": {"mi300x": 1.0, "a100": 0.24}},
}


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE | BOTH) as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        yield cluster


def run(it: Cluster, user: str, seed: int, text: str = "") -> tuple[str, str]:
    """Run a program that can use NVIDIA's devices alone, which nothing in its script says; the
    job's id and its partition, once hetd knows how it ended."""
    program = "simulate() { case $SLURMD_NODENAME in nv*) ;; *) exit 1;; esac; }"
    key = it.sbatch("--gres=gpu:2", script=f"{text}\n{program}\nsimulate --seed {seed}", user=user)
    where = it.wait_state(key, "FAILED", "COMPLETED")["Partition"]
    it.wait("hetd knows how it ended", lambda: it.end(key))
    return key, where


def test_what_failed_on_one_vendor_goes_to_another_the_second_time(it: Cluster) -> None:
    """Nobody else's job goes there for it, and its user has the last word."""
    first, where = run(it, ANN, 1)
    assert where == "train-amd"
    assert run(it, BOB, 2)[1] == "train-amd"
    second, where = run(it, ANN, 3)
    told = it.tool("admin", "why", second)
    assert (where, f"failed within moments on amd (job {first})" in told) == ("train-nv", True), (
        told
    )
    assert run(it, ANN, 4, "#HET vendors=amd")[1] == "train-amd"
    assert run(it, ANN, 5)[1] == "train-nv"


def test_who_asks_for_memory_that_no_device_has_gets_the_largest(it: Cluster) -> None:
    """Of those that the job may use; the default of `impossible_memory`."""
    script = "#HET memory=100G vendors=nvidia scenario=inference"
    key = it.sbatch("--gres=gpu:1", script=script, user=BOB)
    assert it.wait_started(key)["NodeList"].startswith("nv")
    assert "it is read as 80G" in it.tool("admin", "why", key)


def test_how_long_a_programs_jobs_run_is_learned(it: Cluster) -> None:
    """Of the job's own limit, for its user and for admins; what another user runs is another's."""
    program = "estimate() { sleep 3; }\nestimate --seed"
    options = ("--gres=gpu:1", "--time=1")
    jobs = [it.sbatch(*options, script=f"{program} {seed}", user=ANN) for seed in range(4)]
    for key in jobs:
        it.wait_state(key, "COMPLETED")
    it.wait("hetd knows how they ended", lambda: all(map(it.end, jobs)))
    told = json.loads(it.tool("admin", "learned", "-u", ANN, "--json"))["programs"]
    (mine,) = [row for row in told if row["job"] in jobs]
    assert (mine["runs"], [size["devices"] for size in mine["sizes"]]) == (4, [1])
    assert 3 / 60 <= mine["usual"] <= mine["likely"] <= 20 / 60
    assert mine["program"] in it.tool("admin", "learned")
    assert BOB not in it.tool("admin", "learned", "-u", ANN)


def taught(it: Cluster, script: str) -> dict[str, float]:
    """Have ann's program run on each vendor's devices; how fast it is known to be on each type."""
    elsewhere = ("--exclude=amd[1-2]", "--exclude=nv[1-2]")
    jobs = [
        it.sbatch("--gres=gpu:1", "--time=1", off, script=script, user=ANN)
        for off in elsewhere for _ in range(LEAST_RUNS)
    ]  # fmt: skip
    for key in jobs:
        it.wait_state(key, "COMPLETED")
    it.wait("hetd knows how they ended", lambda: all(map(it.end, jobs)))
    told = json.loads(it.tool("admin", "learned", "-u", ANN, "--json"))["programs"]
    (size,) = next(row["sizes"] for row in told if row["job"] in jobs)
    assert all(one["used"] for one in size["speeds"]), told
    return {one["type"]: one["speed"] for one in size["speeds"]}


def test_a_program_goes_where_its_runs_were_fast(it: Cluster) -> None:
    """Another user's does not, for whom a MI300X is faster by the site's table."""
    program = "crunch() { case $SLURMD_NODENAME in nv*) sleep 1;; *) sleep 5;; esac; }\ncrunch"

    def where(user: str) -> str:
        key = it.sbatch("--gres=gpu:1", "--time=1", script=program, user=user)
        return it.wait_state(key, "COMPLETED")["Partition"]

    assert where(ANN) == "train-amd"
    speeds = taught(it, program)
    assert speeds["a100"] > 1.5 * speeds["mi300x"]
    assert (where(ANN), where(BOB)) == ("train-nv", "train-amd")


def test_where_the_site_lets_it_a_program_waits_for_the_time_that_this_saves(it: Cluster) -> None:
    """Some twelve seconds, then it takes what is free."""
    program = "grind() { case $SLURMD_NODENAME in nv*) sleep 2;; *) sleep 14;; esac; }\ngrind"
    taught(it, program)
    full = [it.sbatch("--gres=gpu:a100:8", script="sleep 600") for _ in ("nv1", "nv2")]
    for key in full:
        it.wait_started(key)
    key = it.sbatch("--gres=gpu:1", "--time=1", script=program, user=ANN)
    it.wait("it says so", lambda: "waits for a100" in it.tool("admin", "why", key))
    began = it.wait_state(key, "RUNNING", "COMPLETED")
    assert began["Partition"] == "train-amd"
    job = next(job for job in it.jobs() if job.key == key)
    assert 6 <= job.start_time - job.submit_time <= 40
    it.box.run(["scancel", *full])


def test_who_waits_is_told_when_jobs_usually_end(it: Cluster) -> None:
    """For its user, the time of his own jobs alone, and long before their limits."""
    program = "settle() { sleep 2; }\nsettle"
    taught(it, program)
    longer = program.replace("2", "600")
    full = [
        it.sbatch("--gres=gpu:a100:8", "--time=10", script=longer, user=ANN) for _ in ("nv1", "nv2")
    ]
    for key in full:
        it.wait_started(key)
    mine, theirs = (
        it.sbatch("--gres=gpu:a100:8", "--time=10", script=program, user=user)
        for user in (ANN, BOB)
    )

    def told(user: str | None) -> set[str]:
        """Whose likely time is told, and is long before the latest one."""
        argv = [sys.executable, "-m", "slurm_het.cli.squeue", "--start", "--json"]
        jobs = json.loads(it.box.run(argv, user=user).stdout)["jobs"]
        return {
            job["id"]
            for job in jobs
            if job["likely_start"] and job["likely_start"] < job["expected_start"] - 120
        }

    it.wait("hetd tells", lambda: told(None) >= {mine, theirs})
    assert told(ANN) & {mine, theirs} == {mine}
    it.box.run(["scancel", *full, mine, theirs])
