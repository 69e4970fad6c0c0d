"""Interactive jobs that get their nodes while they are submitted: who may, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.mark import mark_of_sent
from slurm_het.core.model import Job
from slurm_het.core.planner.at_once import SEEN_SECONDS, AtOnce, Openings, openings_of
from slurm_het.core.planner.pins import TENTATIVE_SECONDS, Pins
from slurm_het.core.planner.proposal import Memory, observe, prepare
from slurm_het.core.policy import Limits
from tests.support.world import inventory, marked, policy, running, snapshot

SRUN = {"user_id": "1000", "user_name": "ann", "tres_per_node": "gpu:1", "pn_min_memory": "1000"}
FULL = tuple(
    running(n, node, f"gpu:{kind}:8(IDX:0-7)", end_time=9999)
    for n, (node, kind) in enumerate([("nv1", "a100"), ("nv2", "a100")], 1)
)


def left(*jobs: Job) -> Openings | None:
    """What a cycle leaves that sees these jobs, and begins at 10."""
    memory = Memory(Pins(45, 60))
    prepared = prepare(observe(snapshot(*jobs), policy(), memory, 0.0), Limits(), memory, 0.0)
    return openings_of(prepared, memory.pins.pins.values(), 10.0)


def desk(openings: Openings | None) -> AtOnce:
    """The hook's end, told of them by the wire."""
    it = AtOnce(policy(), patience=7.0)
    it.known = inventory()
    it.openings = msgspec.msgpack.decode(msgspec.msgpack.encode(openings), type=Openings | None)
    return it


def ask(at: AtOnce, ticks: float = 11.0, **sent: Any) -> dict[str, str]:
    """The fields of a job that need not wait; empty if it must."""
    message = SRUN | sent
    made = admit_message(message, policy(), inventory())
    assert isinstance(made, Admitted)
    there = at.place(message, made, ticks)
    return there.fields if there else {}


def test_on_an_idle_cluster_it_gets_a_pool_and_a_node() -> None:
    fields = ask(desk(left()))
    assert fields["partition"] == "train-nv"
    assert fields["req_nodes"] in {"nv1", "nv2"}
    job = Job(1, admin_comment=fields["admin_comment"])
    mark = mark_of_sent(job, "at once")
    assert mark is not None
    assert mark.original == {"tres_per_node": "gpu:1", "time_limit": ""}
    assert "did not wait in the gate" in mark.classification.evidence[-1]


@pytest.mark.parametrize(
    "sent",
    [
        {"script": "#!/bin/sh"},
        {"unlike": "begin_time"},
        {"shared": "2"},
        {"tres_per_node": "gpu:9"},
        {"tres_per_node": "gpu:1", "cpus_per_task": "999"},
        {"min_nodes": "1", "max_nodes": "2", "tres_per_node": "gpu:8", "num_tasks": "200"},
    ],
)
def test_who_has_to_wait_for_hetd(sent: dict[str, Any]) -> None:
    assert not ask(desk(left()), **sent)


def test_what_is_given_is_given_once() -> None:
    at = desk(left())
    got = [ask(at, tres_per_node="gpu:8")["req_nodes"] for _ in range(2)]
    assert sorted(got) == ["nv1", "nv2"]
    assert not ask(at)
    at.openings = replace(left(), since=11.0 + SEEN_SECONDS / 2)  # type: ignore[type-var]
    assert not ask(at), "that cycle may not have seen them"
    at.openings = replace(left(), since=11.1 + SEEN_SECONDS)  # type: ignore[type-var]
    assert ask(at, 12.0)


def test_nobody_is_served_before_who_waits() -> None:
    at = desk(left())
    at.somebody_waits(10.9)
    assert not ask(at)
    at.openings = replace(left(), since=12.0)  # type: ignore[type-var]
    assert ask(at, 12.1)


def test_openings_grow_old() -> None:
    assert ask(desk(left()), 16.0)
    assert not ask(desk(left()), 18.0)
    assert not ask(desk(None))


def test_where_somebody_waits_nothing_is_left() -> None:
    """The training pool is full and wanted; others have room."""
    openings = left(*FULL, marked(7, tres_per_node="gpu:a100:8"))
    assert openings
    assert "train-nv" not in {partition.name for partition in openings.partitions}
    assert not ask(desk(openings))
    assert ask(desk(openings), partition="train-amd")["partition"] == "train-amd"


def test_kept_nodes_are_not_offered() -> None:
    openings = left(FULL[0], marked(7, tres_per_node="gpu:a100:8", nodes_min=2, nodes_max=2))
    assert not ask(desk(openings))


def test_a_job_at_its_users_word_keeps_nobody_waiting() -> None:
    """A dependency, a hold: it would not start now."""
    assert ask(desk(left(marked(7, dependency="afterok:1"), marked(8, priority=0))))


def test_strays_may_wait_for_anything() -> None:
    stray = replace(marked(7), admin_comment="")
    assert left(stray) is None


@pytest.mark.parametrize("setting", ["allow_groups", "deny_accounts", "qos", "root_only"])
def test_a_pool_that_is_not_for_all_is_hetds_to_give(setting: str) -> None:
    value: Any = {"qos": "small", "root_only": True}.get(setting, frozenset({"some"}))
    now = snapshot()
    closed = tuple(
        replace(p, **{setting: value}) if p.name == "train-nv" else p for p in now.partitions
    )
    memory = Memory(Pins(45, 60))
    observed = observe(replace(now, partitions=closed), policy(), memory, 0.0)
    openings = openings_of(prepare(observed, Limits(), memory, 0.0), (), 10.0)
    assert not ask(desk(openings))


def test_where_it_cannot_start_after_all_it_goes_to_the_gate() -> None:
    fields = ask(desk(left()))
    own = marked(9, req_nodes=fields["req_nodes"], partition="train-nv", reason="Resources")
    own = replace(own, admin_comment=fields["admin_comment"])
    memory = Memory(Pins(45, 60))
    assert not observe(snapshot(own), policy(), memory, 0.0).take_back
    late = observe(snapshot(own), policy(), memory, TENTATIVE_SECONDS).take_back
    assert [(due.key, due.penalty) for due in late] == [("9", False)]
    memory = Memory(Pins(45, 60))
    taken = replace(FULL[0], nodes=fields["req_nodes"])
    assert observe(snapshot(own, taken), policy(), memory, 0.0).take_back, "others were first"
