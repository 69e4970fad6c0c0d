"""The task pools: who is ready to be planned, in which order, and why the others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.asked import Anew, adoption, updated
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import HANDED_OVER, encode_comment
from slurm_het.core.jobs.reading import read_job, suits_anew
from slurm_het.core.jobs.readings import Readings, likeness
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools, is_gated
from slurm_het.core.model import Classification, Job, Partition
from slurm_het.core.reasons import ArrayLimit
from slurm_het.core.site_limits import SiteLimits
from slurm_het.core.syntax.arrays import (
    array_indexes,
    array_ranges,
    array_size,
    has_task,
    have_common,
)
from tests.support.world import gated, inventory, marked, partitions, policy, running, snapshot


def fill(*jobs: Job, **kwargs: Any) -> TaskPools:
    """The task pools of the sandbox with these jobs."""
    return fill_task_pools(snapshot(*jobs), inventory(), policy(), **kwargs)


def test_only_pending_jobs_of_the_intake_are_gated() -> None:
    assert is_gated(gated(1), policy())
    assert not is_gated(gated(1, partition="train-nv"), policy())
    assert not is_gated(gated(1, state="RUNNING"), policy())


def test_tasks_stand_in_slurms_order() -> None:
    pools = fill(
        gated(3, priority=5),
        gated(1, priority=5),
        gated(2, priority=9),
        gated(4, priority=5, array_job_id=4, array_tasks="1-2"),
    )
    assert [t.key for t in pools.tasks] == ["2", "1", "3", "4_1", "4_2"]


@pytest.mark.parametrize(
    ("limit", "least", "deadline", "late"),
    [
        (60, 0, 3600, False),
        (60, 0, 3599, True),
        (60, 10, 600, False),
        (60, 10, 599, True),
        (None, 0, 1, False),
        (60, 0, 0, False),
    ],
    ids=["in time", "too late", "its least in time", "its least too late", "no limit", "none"],
)
def test_who_cannot_keep_his_deadline_any_more_takes_nobodys_place(
    limit: int | None, least: int, deadline: int, late: bool
) -> None:
    """Slurm cancels him once it looks at him, which 22.05 does not do in a DOWN partition."""
    sent = {"tres_per_node": "gpu:1", "user_name": "ann", "time_limit": str(limit or "")}
    made = admit_message(sent | ({"time_min": str(least)} if least else {}), policy(), inventory())
    assert isinstance(made, Admitted)
    mark, now = made.fields["admin_comment"], 10_000
    due = now + deadline if deadline else 0
    job = gated(1, time_limit_minutes=limit, deadline=due, admin_comment=mark)
    there = fill_task_pools(replace(snapshot(job), time=now), inventory(), policy())
    assert ([task.key for task in there.tasks], list(there.handovers)) == (
        ([], ["1"]) if late else (["1"], [])
    )


def test_tasks_are_divided_by_scenario() -> None:
    pools = fill(gated(1), gated(2, tres_per_node="shard:8"), gated(3, tres_per_node="gpu:8"))
    assert [t.key for t in pools.pool("training")] == ["1", "3"]
    assert [t.key for t in pools.pool("inference")] == ["2"]
    assert pools.sizes() == {"training": 2, "inference": 1}
    assert pools.classifications["2"].memory_gib == 8


def test_a_task_carries_what_the_planner_needs() -> None:
    job = gated(
        7, tres_per_node="gpu:a100:2", nodes_min=2, features="a100", exc_nodes="nv[2-3]",
        exclusive=True, priority=44, cpus=8,
    )  # fmt: skip
    (task,) = fill(job).tasks
    assert task.types == {"a100"}
    assert task.pools == ("train-nv",)
    assert [(s.devices, s.cpus, s.memory_mib) for s in task.slots] == [(2, 4, 4096)] * 2
    assert task.exc_nodes == {"nv2", "nv3"}
    assert (task.exclusive, task.features, task.priority, task.minutes) == (True, "a100", 44, 60)


def test_the_reason_begin_time_may_be_an_old_one() -> None:
    assert fill(gated(1, reason="BeginTime")).tasks
    skewed = gated(1, submit_time=4_000_000_000, eligible_time=4_000_000_001)
    assert fill(skewed).tasks, "our clock is behind Slurm's: it was eligible when it came"


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"reason": "Dependency"}, "Dependency"),
        ({"reason": "BeginTime", "eligible_time": 4_000_000_000}, "BeginTime"),
        ({"reason": "JobHeldUser", "priority": 0}, "JobHeldUser"),
        ({"priority": 0}, "held"),
        ({"tres_per_node": ""}, "asks for no accelerator"),
        ({"tres_per_node": "gpu:t4:1"}, "no pool has a device for it (t4)"),
        ({"tres_per_node": "gpu:h100_3:1"}, "no pool has a device for it (h100)"),
        ({"tres_per_node": "gpu:a100:1,gpu:mi300x:1"}, "several device types"),
        ({"tres_per_node": "gpu:1,shard:4"}, "several GRES names"),
        ({"features": "a100*2"}, "constraint"),
        ({"features": "a100|"}, "constraint"),
        ({"exc_nodes": "n[1-"}, "not a host list"),
        ({"nodes_min": 3, "nodes_max": 2, "tres_per_node": "gpu:1"}, "at most 2 are allowed"),
    ],
)
def test_a_job_that_cannot_be_planned_says_why(fields: dict[str, Any], part: str) -> None:
    pools = fill(gated(1, **fields), gated(2))
    assert [t.key for t in pools.tasks] == ["2"]
    assert part in str(pools.blocked["1"])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tres_per_node": ""}, "asks for no accelerator"),
        ({"tres_per_node": "", "ntasks_per_gpu": 2}, "choose its nodes (--ntasks-per-gpu=2)"),
        ({"tres_per_node": "gpu:a100:1,gpu:mi300x:1"}, "several device types"),
        ({"features": "a100*2"}, "constraint"),
        ({"req_nodes": "nv1"}, "names its nodes (nv1)"),
        ({"reservation": "maint"}, "reservation maint"),
        ({"het_job_id": 1}, "heterogeneous"),
    ],
)
def test_a_job_that_is_not_ours_is_handed_to_plain_slurm(fields: dict[str, Any], why: str) -> None:
    pools = fill(gated(1, **fields))
    assert pools.tasks == ()
    assert "train-nv" in pools.handovers["1"].partitions
    assert why in str(pools.handovers["1"].why)
    assert str(pools.blocked["1"]).endswith("; plain Slurm places it")
    waiting = fill(gated(1, dependency="afterany:7", **fields), gated(2, priority=0, **fields))
    assert waiting.handovers == {}, "Slurm says that it waits: it waits in the gate"


def test_a_handover_keeps_to_the_pools_that_fit_and_that_the_job_may_use() -> None:
    (job,) = fill(gated(1, tres_per_node="gpu:a100:1,gpu:a100s:1")).handovers.values()
    assert job.partitions == ("train-nv",)
    shot = snapshot(gated(1, req_nodes="amd1"))
    wide = replace(policy(), spanning_partition="any")
    beside = replace(shot, partitions=(*shot.partitions, Partition("any")))
    over = fill_task_pools(beside, inventory(), wide).handovers["1"]
    assert over.partitions[-1] == "any", "it may need nodes of several pools"
    closed = tuple(
        replace(p, allow_groups=frozenset({"x"})) if p.name == "train-nv" else p
        for p in shot.partitions
    )
    pools = fill_task_pools(replace(shot, partitions=closed), inventory(), policy())
    assert "train-nv" not in pools.handovers["1"].partitions


def test_a_job_that_may_use_no_pool_says_which_limit() -> None:
    shot = snapshot(gated(1, time_limit_minutes=500))
    limited = tuple(
        replace(p, max_minutes=60) if p.name.endswith("-nv") else p for p in shot.partitions
    )
    pools = fill_task_pools(replace(shot, partitions=limited), inventory(), policy())
    assert str(pools.blocked["1"]) == "it may use no fitting pool (train-nv: MaxTime=60 min)"


OWN_REFUSES: dict[str, dict[str, Any]] = {
    "its time limit": {"max_minutes": 30},
    "who may use it": {"allow_accounts": frozenset({"prod"})},
    "the QOS": {"allow_qos": frozenset({"prod"})},
    "its number of nodes": {"min_nodes": 2},
    "its state": {"state": "DOWN"},
}


@pytest.mark.parametrize("features", ["a100|l40s", "l40s"])
@pytest.mark.parametrize("refuses", OWN_REFUSES)
def test_a_job_that_no_pool_of_its_scenario_allows_uses_the_others(
    refuses: str, features: str
) -> None:
    """As long as none does. Features of ours that keep it from them are written anew; its user's
    stay."""
    what = Classification("inference", vendors=("nvidia",))
    original = {"tres_per_node": "gpu:1"}
    comment = encode_comment(what, original, "", {"features": features})
    job = gated(1, nodes_max=1, features=features, admin_comment=comment)
    shot = snapshot(job)
    (before,) = fill_task_pools(shot, inventory(), policy()).tasks
    assert before.pools == ("infer-nv",)
    closed = tuple(
        replace(p, **OWN_REFUSES[refuses]) if p.name == "infer-nv" else p for p in shot.partitions
    )
    shot = replace(shot, partitions=closed)
    queue = fill_task_pools(shot, inventory(), policy())
    if features == "l40s":
        assert queue.changed == {1}
        facts = ClusterFacts.of(shot, inventory(), policy())
        anew = Anew(job, "#!/bin/sh\nmodule load cuda\nvllm serve m\n")
        job = updated(job, adoption(anew, policy(), inventory(), suits=suits_anew(job, facts)))
        queue = fill_task_pools(replace(shot, jobs=(job,)), inventory(), policy())
        own = replace(job, admin_comment="", features="l40s")
        stays = fill_task_pools(replace(shot, jobs=(own,)), inventory(), policy())
        assert not stays.changed
        assert not stays.tasks
    (task,) = queue.tasks
    assert task.pools == ("train-nv",)
    assert not queue.changed
    open_again = fill_task_pools(snapshot(job), inventory(), policy())
    assert [t.pools for t in open_again.tasks] == [("infer-nv",)]
    assert not open_again.changed


@pytest.mark.parametrize(
    ("asks", "pools"),
    [
        ({}, ("infer-nv",)),
        ({"nodes_min": 2, "nodes_max": 2}, ("infer-nv",)),
        ({"nodes_min": 2, "nodes_max": 2, "exc_nodes": "l40s1"}, ("train-nv",)),
        ({"memory_per_cpu_mib": None, "memory_per_node_mib": 300_000}, ("train-nv",)),
        ({"exc_nodes": "l40s[1-2]"}, ("train-nv",)),
        ({"nodes_min": 99, "nodes_max": 99}, ("infer-nv",)),
    ],
)
def test_a_job_that_no_pool_of_its_scenario_holds_uses_the_others(
    asks: dict[str, Any], pools: tuple[str, ...]
) -> None:
    what = encode_comment(Classification("inference", vendors=("nvidia",)), {"time_limit": "60"})
    shot = snapshot(gated(1, admin_comment=what, **asks))
    (task,) = fill_task_pools(shot, inventory(), policy()).tasks
    assert task.pools == pools


def test_a_job_is_spread_over_nodes_that_it_may_use() -> None:
    """One of 16 devices elsewhere is no reason for one node, nor that all are down for more."""
    shot = snapshot(gated(1, tres_per_node="", tres_per_job="gpu:16", features="a100"))
    nv2 = next(n for n in shot.nodes if n.name == "nv2")
    large = replace(nv2, name="big1", gres="gpu:a100:16", features=frozenset({"other"}))
    there = replace(shot, nodes=(*shot.nodes, large))
    (one,) = fill_task_pools(there, take_inventory(there, policy()), policy()).tasks
    assert [slot.devices for slot in one.slots] == [8, 8]
    down = replace(shot, nodes=tuple(replace(n, state="DOWN") for n in shot.nodes))
    (same,) = fill_task_pools(down, take_inventory(down, policy()), policy()).tasks
    assert [slot.devices for slot in same.slots] == [8, 8]


@pytest.mark.parametrize(
    ("text", "limit", "indexes"),
    [
        ("0-3", 9, (0, 1, 2, 3)),
        ("0-9%2", 3, (0, 1, 2)),
        ("1,5,7", 9, (1, 5, 7)),
        ("0-10:5", 9, (0, 5, 10)),
        ("0-10:5", 2, (0, 5)),
        ("3,0-1", 9, (3, 0, 1)),
        ("1,2,...", 9, (1, 2)),
        ("", 9, ()),
        ("5-1", 9, ()),
        ("0-99999999", 2, (0, 1)),
        ("0-5:0", 9, (0, 1, 2, 3, 4, 5)),
    ],
)
def test_array_indexes(text: str, limit: int, indexes: tuple[int, ...]) -> None:
    assert array_indexes(text, limit) == indexes


ITEMS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
TEXTS = st.lists(ITEMS.map(lambda item: "{}-{}:{}".format(*item)), max_size=3).map(",".join)


@drawn(TEXTS, TEXTS)
def test_whether_two_lists_have_a_task_in_common(one: str, other: str) -> None:
    first, second = set(array_indexes(one, 999)), set(array_indexes(other, 999))
    assert have_common(array_ranges(one), array_ranges(other)) == bool(first & second)
    assert all(has_task(array_ranges(one), index) == (index in first) for index in range(62))
    assert array_size(one) == len(array_indexes(one, 999))


def test_an_array_gives_as_many_tasks_as_its_limit_leaves() -> None:
    rest = gated(10, array_job_id=10, array_tasks="3-9%3", array_limit=3)
    on = [
        running(20 + i, "l40s1", f"gpu:l40s:1(IDX:{i})", array_job_id=10, array_task_id=i)
        for i in range(2)
    ]
    assert [t.key for t in fill(rest).tasks] == ["10_3", "10_4", "10_5"]
    assert [t.key for t in fill(rest, *on).tasks] == ["10_3"]


def test_a_full_array_is_blocked_by_its_own_limit() -> None:
    rest = gated(10, array_job_id=10, array_tasks="1-9%1", array_limit=1)
    on = running(20, "nv1", "gpu:a100:1(IDX:0)", array_job_id=10, array_task_id=0)
    pools = fill(rest, on)
    assert pools.tasks == ()
    assert pools.blocked == {"10_[1-9%1]": ArrayLimit(1)}


@pytest.mark.parametrize(
    "fields",
    [
        {"partition": "train-nv", "req_nodes": "nv1", "reason": "JobHeldAdmin", "priority": 0},
        {"partition": "debug", "reason": "Dependency", "dependency": "afterok:99(unfulfilled)"},
        {"partition": "train-nv", "reason": "BeginTime", "submit_time": 1, "eligible_time": 10**10},
        {"partition": "cpu", "reason": "Resources"},  # its user has moved it
        {"partition": "cpu", "reason": "Resources", "req_nodes": "cpu1"},
        {"partition": "train-nv", "reason": "Resources"},
        {
            "partition": "train-nv",
            "reason": "Resources",
            "req_nodes": "nv1",
            "admin_comment": f"{HANDED_OVER}plain Slurm places it",
        },
    ],
)
def test_a_task_that_slurm_lets_wait_takes_no_place_of_its_array(fields: dict[str, Any]) -> None:
    """Slurm counts those that run."""
    rest = gated(10, array_job_id=10, array_tasks="2-9%1", array_limit=1)
    waits = gated(11, array_job_id=10, array_task_id=1, array_limit=1, **fields)
    pools = fill_task_pools(snapshot(rest, waits), inventory(), policy())
    assert [task.key for task in pools.tasks] == ["10_2"]


def test_split_tasks_of_an_array_share_its_limit_with_the_rest() -> None:
    rest = gated(10, array_job_id=10, array_tasks="2-9%2", array_limit=2)
    split = gated(11, array_job_id=10, array_task_id=1, array_limit=2)
    on = running(20, "nv1", "gpu:a100:1(IDX:0)", array_job_id=10, array_task_id=0)
    released = replace(split, id=12, array_task_id=8, partition="train-nv", req_nodes="nv1")
    line = encode_comment(Classification("training"), {}, "in line")
    in_line = replace(released, partition="train-nv,infer-nv", req_nodes="", admin_comment=line)
    assert len(fill(rest, split).tasks) == 2
    assert len(fill(rest, split, on).tasks) == 1
    assert len(fill(rest, on, released).tasks) == 0
    assert len(fill(rest, on, in_line).tasks) == 0


def test_the_limit_bounds_a_huge_array() -> None:
    pools = fill(gated(1, array_job_id=1, array_tasks="0-99999"), limit=50)
    assert len(pools.tasks) == 50
    limited = gated(1, array_job_id=1, array_tasks="0-99999%90", array_limit=90)
    assert len(fill(limited, limit=50).tasks) == 50


def test_what_an_array_has_beyond_the_limit_is_counted() -> None:
    """A status that says how many wait must not stop at the window."""

    def pools(tasks: str, throttle: int = 0) -> tuple[int, int]:
        job = gated(7, array_job_id=7, array_tasks=tasks, array_limit=throttle)
        found = fill_task_pools(snapshot(job), inventory(), policy(), limit=10)
        return len(found.tasks), found.unlisted

    assert pools("0-999") == (10, 990)
    assert pools("0-999%25", 25) == (10, 15)
    assert pools("0-8:2,20") == (6, 0)
    assert pools("0-99999999:0,x,5-2") == (10, 99_999_990)


Edit = tuple[int, dict[str, Any]]

edits = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([
            {}, {"features": "a100"}, {"features": "&"}, {"priority": 0}, {"priority": 7},
            {"dependency": "afterok:9"}, {"tres_per_node": "gpu:b200:1"}, {"state": "CANCELLED"},
            {"tres_per_node": "gpu:a100:2"}, {"eligible_time": 3}, {"account": "closed"},
            {"array_job_id": 1, "array_tasks": "1-3"}, {"req_nodes": "nv1"}, {"groups": ("x",)},
        ]),
    ),
    max_size=6,
)  # fmt: skip


@drawn(edits, st.lists(st.sampled_from(["UP", "closed", "rewrites", "broken"]), max_size=6))
def test_what_is_read_again_is_as_if_it_were_new(changes: list[Edit], sites: list[str]) -> None:
    """Jobs, partitions, nodes and the time change from snapshot to snapshot."""
    jobs = {number: gated(number) for number in (1, 2, 3)}
    readings = Readings()
    for now, (number, change) in enumerate([(1, {}), *changes]):
        jobs[number] = gated(number, **change)
        site = sites[now] if now < len(sites) else "UP"
        given = replace(
            snapshot(*jobs.values()), time=float(now), rewrites_gres=site == "rewrites",
            partitions=tuple(
                replace(p, deny_accounts=frozenset({"closed"} if site == "closed" else ()))
                for p in partitions()
            ),
            nodes=tuple(n for n in snapshot().nodes if site != "broken" or "nv" not in n.name),
        )  # fmt: skip
        here = take_inventory(given, policy())
        again = fill_task_pools(given, here, policy(), readings=readings)
        assert again == fill_task_pools(given, here, policy())


def test_who_waits_is_read_again_when_his_account_comes_below_another() -> None:
    readings, given = Readings(), snapshot(gated(1, account="lab"))
    denied = tuple(replace(p, deny_accounts=frozenset({"bio"})) for p in given.partitions)
    for parents in ({}, {"lab": "bio"}, {"lab": "phys"}):
        there = replace(given, partitions=denied, limits=SiteLimits(parents=parents))
        tasks = fill_task_pools(there, inventory(), policy(), readings=readings).tasks
        assert bool(tasks) == ("bio" not in parents.values())


def test_who_waits_is_read_once() -> None:
    """Ten thousand jobs that wait cost little more than looking at them."""
    readings, given = Readings(), snapshot(gated(1), gated(2))
    first = fill_task_pools(given, inventory(), policy(), readings=readings)
    second = fill_task_pools(given, inventory(), policy(), readings=readings)
    assert all(a is b for a, b in zip(first.tasks, second.tasks, strict=True))


@drawn(edits, st.booleans())
def test_alike_jobs_are_read_as_each_would_be_by_itself(
    changes: list[Edit], rewrites: bool
) -> None:
    """What one is read as is taken for another only where nothing that differs bears on it."""
    one = marked(1, name="a", submit_time=1, eligible_time=1)
    later: dict[str, Any] = {
        "name": "b",
        "submit_time": 2,
        "eligible_time": 2,
        "priority": 5,
        "start_time": 9,
    }
    jobs = [one, *(replace(one, id=n, **later | edit) for n, (_, edit) in enumerate(changes, 2))]
    facts = ClusterFacts.of(
        replace(snapshot(*jobs), time=2.0, rewrites_gres=rewrites), inventory(), policy()
    )
    assert list(Readings().of(jobs, facts)) == [read_job(job, facts) for job in jobs]


def test_who_is_read_by_itself() -> None:
    """A site's rules may go by the name of a job that the hook has not prepared."""
    assert likeness(marked(1, name="a"), 5.0) == likeness(marked(2, name="b"), 5.0)
    assert likeness(gated(1), 5.0) is likeness(marked(1, priority=0), 5.0) is None
    later = marked(3, submit_time=1, eligible_time=9)
    assert likeness(later, 8.0) is None
    assert likeness(later, 9.0) == likeness(marked(2), 9.0), "its time has come"
