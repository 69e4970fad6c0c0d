"""Jobs that Slurm does not start, or not even takes: those behind them get the idle devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.model import Job
from tests.daemon.test_cycle import Bench
from tests.support.world import marked, running

FULL = [running(900, "nv1", "gpu:a100:8(IDX:0-7)"), running(901, "nv2", "gpu:a100:7(IDX:0-6)")]
"""One device is free."""
SECONDS = 2.0


def hers(number: int, **fields: Any) -> Job:
    """One of the many jobs that come first."""
    base = {"account": "guests", "qos": "normal", "tres_per_node": "gpu:a100:1"}
    return marked(number, user="ann", uid=1000, priority=1000, **(base | fields))


HIS = marked(500, user="bob", uid=1001, account="b", qos="normal", priority=10,
             tres_per_node="gpu:a100:1")  # fmt: skip


def follow(bench: Bench, reason: str) -> None:
    """Slurm moves jobs as it is told, and starts none of hers, for that reason."""
    releases = dict(bench.slurm.updates)

    def moved(job: Job) -> Job:
        fields = releases.get(job.key)
        if fields is None or job.state != "PENDING":
            return job
        where = fields.get("Partition", job.partition)
        nodes = fields.get("ReqNodeList", job.req_nodes)
        why = "PartitionDown" if where == "accel" else reason
        return replace(job, partition=where, req_nodes=nodes, reason=why)

    bench.slurm.jobs = tuple(map(moved, bench.slurm.jobs))


def until_his(bench: Bench, reason: str = "", cycles: int = 60) -> float | None:
    """After how many seconds his job is released."""
    for number in range(cycles):
        bench.run()
        if bench.sent("500"):
            return number * SECONDS
        if reason:
            follow(bench, reason)
        bench.wait(SECONDS)
    return None


@pytest.mark.parametrize(
    "reason",
    ["MaxGRESRunMinsPerUser", "MaxGRESRunMinsPerAccount", "QOSMinGRES", "QOSMaxGRESPerJob"],
)
def test_a_limit_of_hers_keeps_the_idle_device_from_nobody(tmp_path: Path, reason: str) -> None:
    """Each of her jobs held it in turn: those that are like one which came back wait for a sign, or
    come last."""
    bench = Bench(tmp_path, *FULL, *map(hers, range(1, 41)), HIS)
    took = until_his(bench, reason)
    assert took is not None
    assert took <= 3 * SECONDS


def test_jobs_that_all_ask_for_something_else_do_not_each_have_a_turn(tmp_path: Path) -> None:
    many = [hers(n, time_limit_minutes=60 + n) for n in range(1, 41)]
    bench = Bench(tmp_path, *FULL, *many, HIS)
    took = until_his(bench, "QOSMaxWallDurationPerJobLimit")
    assert took is not None
    assert took <= 6 * SECONDS


def test_one_that_came_back_has_its_turn_again(tmp_path: Path) -> None:
    """By then the limit may be another."""
    bench = Bench(tmp_path, *FULL, hers(1))
    bench.run()
    follow(bench, "QOSMinGRES")
    bench.wait(SECONDS)
    bench.run()
    assert [fields["Partition"] for fields in bench.sent("1")] == ["train-nv", "accel"]
    follow(bench, "")
    bench.slurm.jobs = (*bench.slurm.jobs, HIS)
    bench.wait(150)
    bench.run()
    assert bench.sent("1")[2]["Partition"] == "train-nv"
    assert not bench.sent("500")


def refusing(bench: Bench, count: int) -> None:
    """Slurmctld takes no release of her jobs."""
    bench.slurm.refuse = {str(number) for number in range(1, count + 1)}
    bench.slurm.refusal = "Invalid account or account/partition combination specified"


@pytest.mark.parametrize(("count", "free"), [(0, 1), (14, 1), (60, 4)])
def test_jobs_whose_release_is_refused_keep_the_idle_devices_from_nobody(
    tmp_path: Path, count: int, free: int
) -> None:
    """With so many one of them was always due again, and was given what is free."""
    held = running(901, "nv2", f"gpu:a100:{8 - free}(IDX:0-{7 - free})")
    bench = Bench(tmp_path, FULL[0], held, *map(hers, range(1, count + 1)), HIS)
    refusing(bench, count)
    took = until_his(bench)
    assert took is not None
    assert took <= SECONDS


def test_refused_jobs_that_all_ask_for_something_else_keep_it_from_nobody(tmp_path: Path) -> None:
    many = [hers(n, time_limit_minutes=60 + n) for n in range(1, 41)]
    bench = Bench(tmp_path, *FULL, *many, HIS)
    refusing(bench, 40)
    took = until_his(bench)
    assert took is not None
    assert took <= 5 * SECONDS


def test_later_ones_wait_for_no_refused_job_either(tmp_path: Path) -> None:
    """Her jobs have their turns again, but few of them."""
    bench = Bench(tmp_path, *FULL, *map(hers, range(1, 41)))
    refusing(bench, 40)
    for _ in range(300):
        bench.run()
        bench.wait(SECONDS)
    bench.slurm.jobs = (*bench.slurm.jobs, HIS)
    took = until_his(bench)
    assert took is not None
    assert took <= 2 * SECONDS


def test_jobs_that_are_right_again_start_where_devices_are_free(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *map(hers, range(1, 11)))
    refusing(bench, 10)
    bench.run()
    assert not bench.cycle.pins.pins
    bench.slurm.refuse = set()
    bench.wait(60)
    bench.run()
    assert len(bench.cycle.pins.pins) == 10


def test_a_refused_job_that_is_right_again_has_its_turn_before_those_behind_it(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, *FULL, hers(1))
    refusing(bench, 1)
    bench.run()
    bench.slurm.refuse, bench.slurm.jobs = set(), (*bench.slurm.jobs, HIS)
    bench.wait(130)
    bench.run()
    assert (len(bench.sent("1")), bench.sent("500")) == (3, [])
