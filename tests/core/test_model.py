"""Tasks: what of them is worked out once. Jobs: how people know them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.model import Job
from tests.support.world import task


@pytest.mark.parametrize(
    ("job", "label"),
    [
        (Job(7), "7"),
        (Job(9, array_job_id=7, array_task_id=2), "7_2"),
        (Job(7, array_job_id=7, array_tasks="3-9%2"), "7_[3-9%2]"),
        (Job(7, array_job_id=7, array_tasks="3,9"), "7_[3,9]"),
        (Job(7, array_job_id=7, array_tasks="9%2"), "7_9"),
        (Job(7, array_job_id=7, array_tasks="9"), "7_9"),
    ],
)
def test_the_last_task_of_an_array_has_its_own_name(job: Job, label: str) -> None:
    assert job.label == label


def test_who_asks_the_same_has_the_same_request() -> None:
    one, other = task("1", priority=1, minutes=5), task("2", user="bob", since=7.0)
    assert one.request is other.request
    assert one.request is one.request.request
    assert task("3", pools=("train-amd",)).request != one.request
    assert hash(one) == hash(replace(one)) != hash(replace(one, key="9"))


def test_a_task_kept_off_the_same_nodes_is_the_same_task() -> None:
    one = task("1", exc_nodes=frozenset({"a"}))
    off = one.off(frozenset({"b"}))
    assert off.exc_nodes == {"a", "b"}
    assert one.off(frozenset({"b"})) is off
    assert one.off(frozenset({"a"})) is one
    assert one.off(frozenset({"c"})).exc_nodes == {"a", "c"}
    assert one.exc_nodes == {"a"}
    assert off == replace(one, exc_nodes=frozenset({"a", "b"}))
