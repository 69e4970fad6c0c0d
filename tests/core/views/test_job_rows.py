"""Rows: what each job holds or waits for, from plain records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.cli.columns import BY_NAME
from slurm_het.cli.filters import Filters, choose, read_states
from slurm_het.core.cluster.holdings import HeldDevices, count_text, fold_held
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.model import Classification, Job, NodeRecord, Partition
from slurm_het.core.policy import Limits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.free import free_by_node, free_by_pool, shut_pools
from slurm_het.core.views.job_rows import JobRow, make_view, used_seconds
from slurm_het.core.views.waiting import Remembered
from slurm_het.errors import HetError
from tests.support.squeue_cluster import (
    NODES,
    NOW,
    POLICY,
    node,
    row,
    running,
    snapshot,
    view,
    waiting,
)


def shown(job: Job, *names: str, others: tuple[Job, ...] = ()) -> tuple[str, ...]:
    """The named columns of a job."""
    found = row(job, *others)
    return tuple(BY_NAME[name].text(found) for name in names)


NAMED_POOL = Classification("training", partitions=("train-amd",))
HOLD = ("type", "count", "memory", "devices")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (running(1, "nv1", "gpu:a100:4(IDX:0-3)"), ("nvidia:a100", "4", "320", "nv1:0-3")),
        (
            running(1, "nv[1-2]", "gpu:a100:8(IDX:0-7)", "gpu:a100:8(IDX:0-7)"),
            ("nvidia:a100", "2x8", "1280", "nv[1-2]:0-7"),
        ),
        (
            running(1, "nv[1-2]", "gpu:a100:2(IDX:0,5)", "gpu:a100:1(IDX:0)"),
            ("nvidia:a100", "2+1", "240", "nv1:0,5;nv2:0"),
        ),
        (running(1, "l40s1", "shard:24(IDX:2)"), ("nvidia:l40s", "1", "24", "l40s1:2")),
        (
            running(1, "l40s1", "shard:l40s:60(48/48,12/48,0/48,0/48)"),
            ("nvidia:l40s", "2", "60", "l40s1:0-1"),
        ),
        (running(1, "amd1", "gpu:mi300x(CNT:2)"), ("amd:mi300x", "2", "384", "amd1:?x2")),
        (running(1, "amd1", "gpu:mi300x:0(IDX:)"), ("-", "-", "-", "amd1")),
        (running(1, "nv1"), ("-", "-", "-", "nv1")),
        (running(1, "nv1", "gpu:a100:2(WHAT)"), ("-", "?", "-", "nv1:?")),
        (running(1, "gone9", "gpu:a100:1(IDX:0)"), ("-", "1", "-", "gone9:0")),
    ],
)
def test_what_a_running_job_holds(job: Job, expected: tuple[str, ...]) -> None:
    assert shown(job, *HOLD) == expected


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (waiting(1, "gpu:8"), ("any", "8", "(640+)", "(8)")),
        (waiting(1, "gpu:a100:4", nodes_min=2), ("nvidia:a100", "2x4", "(640)", "(2x4)")),
        (
            waiting(1, "gpu:2", admin_comment=encode_comment(NAMED_POOL, {})),
            ("amd:mi300x", "2", "(384)", "(2)"),
        ),
        (waiting(1, "shard:24"), ("any", "1", "(24)", "(1)")),
        (waiting(1, ""), ("-", "-", "-", "-")),
        (waiting(1, "gpu:2", partition="train-amd"), ("amd:mi300x", "2", "(384)", "(2)")),
        (waiting(1, "gpu:1:2:3:4"), ("?", "?", "?", "?")),
    ],
)
def test_what_a_waiting_job_asks(job: Job, expected: tuple[str, ...]) -> None:
    assert shown(job, *HOLD) == expected


def test_a_malformed_string_is_a_warning_and_the_others_are_shown() -> None:
    bad = running(7, "nv1", "gpu:a100:2(WHAT)")
    odd = waiting(8, "gpu:1:2:3:4")
    made = view(bad, odd, running(9, "nv2", "gpu:a100:1(IDX:3)"))
    assert len(made.rows) == 3
    assert [w.split(":")[0] for w in made.warnings] == ["job 7", "job 8"]


def test_hostile_node_lists_and_node_gres_do_not_stop_the_table() -> None:
    nodes = (*NODES, node("odd1", "gpu:a100:2,tape:::4", "train-nv"))
    made = view(running(1, "nv[1-"), running(2, "nv2", "gpu:a100:1(IDX:0)"), nodes=nodes)
    assert len(made.rows) == 2
    assert any("tape" in w for w in made.warnings)
    assert any("host list" in w for w in made.warnings)


def test_reasons_of_gated_jobs_are_in_device_terms() -> None:
    full = [
        running(1, "nv1", "gpu:a100:4(IDX:0-3)"),
        running(2, "nv2", "gpu:a100:6(IDX:0-5)"),
    ]
    job = waiting(3, "gpu:a100:8")
    found = row(job, *full)
    best = f"nv1 with 4 (1 is there until {NOW + 3600}.0 at the latest)"
    assert (found.pool, found.reason) == ("gate", f"needs 8 free on one node; best is {best}")
    assert row(waiting(4, "gpu:a100:4"), *full).reason == "can start now; waits for hetd"


def test_nodes_that_are_missing_are_no_matter_of_who_runs() -> None:
    """No end of a job helps: it is told what would, or that nothing does."""
    half = running(1, "nv2", "gpu:a100:4(IDX:0-3)")
    drained = tuple(replace(n, state="IDLE+DRAIN") if n.name == "nv1" else n for n in NODES)

    def told(nodes_min: int, tres: str, nodes: tuple[NodeRecord, ...]) -> tuple[str, str]:
        found = row(waiting(3, tres, nodes_min=nodes_min, tasks=nodes_min), half, nodes=nodes)
        return found.code, found.reason

    assert told(2, "gpu:a100:8", drained) == (
        "no-node",
        "needs 8 free on each of 2 nodes; only nv2 could have them; nv1 is IDLE+DRAIN",
    )
    assert told(3, "gpu:a100:8", NODES) == (
        "never", "needs 8 free on each of 3 nodes; only nv1, nv2 could have them",
    )  # fmt: skip
    assert told(1, "gpu:a100:8", drained)[0] == "busy"
    lost = tuple(replace(n, state="DOWN*") if "a100" in n.gres else n for n in NODES)
    assert told(1, "gpu:a100:9", lost)[0] == "never", "they are too small, up or not"


@pytest.mark.parametrize("reason", ["Dependency", "BeginTime", "JobHeldUser", "AssocGrpGRES"])
def test_what_slurm_blocks_has_slurms_reason(reason: str) -> None:
    begin = NOW + 60 if reason == "BeginTime" else 0
    said = {
        "BeginTime": f"BeginTime: it is not to start before {begin}",
        "JobHeldUser": "JobHeldUser: its user holds it",
    }
    shown = row(waiting(1, "gpu:1", reason=reason, eligible_time=begin)).reason
    assert shown == said.get(reason, reason)
    assert row(waiting(1, "gpu:1", reason=reason, partition="train-nv")).reason == reason


FOR_LATER = {"submit_time": NOW - 60, "eligible_time": NOW + 600}
BROKEN = {"dependency": "afterok:9(failed)", "reason": "DependencyNeverSatisfied"}


@pytest.mark.parametrize(
    ("fields", "code", "reason", "action"),
    [
        ({"reason": "JobHeldAdmin", **FOR_LATER}, "held", "an admin holds it", "scontrol release"),
        (
            {"reason": "JobHeldUser", "dependency": "afterany:9(unfulfilled)"},
            "held", "its user holds it", "scontrol release",
        ),
        ({"reason": "JobHoldMaxRequeue"}, "held", "requeued too often", "scontrol release"),
        (
            {"dependency": "afterany:9(unfulfilled)"},
            "dependency", "Dependency afterany:9(unfulfilled)", "nothing until the jobs",
        ),
        (BROKEN, "dependency", "DependencyNeverSatisfied afterok:9(failed)", "scancel it"),
        ({**BROKEN, "partition": "debug"}, "dependency", "NeverSatisfied", "scancel it"),
        ({**BROKEN, "reason": "JobHeldUser"}, "held", "its user holds it", "scontrol release"),
    ],
)  # fmt: skip
def test_of_what_keeps_a_job_that_which_lasts_longest_is_told(
    fields: dict[str, Any], code: str, reason: str, action: str
) -> None:
    """A hold outlasts a begin time and a dependency; one of these that cannot end is said so."""
    found = row(waiting(3, "gpu:1", **fields))
    assert (found.code, reason in found.reason, action in found.action) == (code, True, True)


@pytest.mark.parametrize("state", ["DOWN", "DRAIN", "INACTIVE"])
def test_a_pool_that_is_not_up_is_waited_for(state: str) -> None:
    """Its state passes; a setting beside it that refuses the job does not."""

    def told(*jobs: Job, **sets: Any) -> JobRow:
        taken = snapshot(*jobs)
        pools = (replace(p, state=state, **sets) if p.name == "train-nv" else p
                 for p in taken.partitions)  # fmt: skip
        return make_view(replace(taken, partitions=tuple(pools)), POLICY, Limits()).rows[0]

    found = told(waiting(3, "gpu:a100:1"))
    says = f"(train-nv: State={state}); it waits until train-nv is UP"
    assert (found.code, found.reason) == ("no-node", f"it may use no fitting pool {says}")
    assert "no pool that is UP" in found.action
    refused = told(waiting(3, "gpu:a100:1", time_limit_minutes=90), max_minutes=60)
    assert (refused.code, "UP" in refused.reason) == ("never", False)


AWAY = (
    replace(NODES[0], state="IDLE+DRAIN"), *NODES[1:],
    NodeRecord("cpu1", "IDLE+DRAIN", partitions=("cpu",)),
)  # fmt: skip
MAINT = ReservationRecord("maint", NOW + 60, NOW + 3600, nodes=("nv1", "nv2"))


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"partition": "cpu", "req_nodes": "cpu1"}, "no-node", "; cpu1 is IDLE+DRAIN"),
        ({"partition": "cpu"}, "no-node", "; cpu1 is IDLE+DRAIN"),
        ({"partition": "cpu", "reason": "Resources"}, "no-node", "Resources; cpu1 is IDLE+DRAIN"),
        ({"partition": "train-nv", "req_nodes": "nv[1-2]"}, "no-node", "; nv1 is IDLE+DRAIN"),
        ({"partition": "train-nv", "nodes_min": 2}, "no-node", "; nv1 is IDLE+DRAIN"),
        ({"partition": "train-nv,cpu", "nodes_min": 2}, "no-node", "nv1 is IDLE+DRAIN, cpu1 is"),
        ({"partition": "train-nv"}, "reserved", "; the reservation maint"),
        ({"partition": "train-nv", "req_nodes": "nv2"}, "reserved", "; the reservation maint"),
        ({"partition": "train-nv", "reservation": "maint"}, "slurm", "ReqNodeNotAvail"),
        ({"partition": "train-nv", "reason": "Resources"}, "slurm", "Resources"),
        ({"partition": "train-amd"}, "slurm", "ReqNodeNotAvail"),
        ({"partition": "cpu", "reason": "PartitionNodeLimit"}, "no-node", "; cpu1 is IDLE+DRAIN"),
        ({"partition": "train-amd", "reason": "PartitionNodeLimit"}, "never", "PartitionNodeLimit"),
        ({"partition": "infer-nv", "reason": "PartitionDown"}, "no-node", "until infer-nv is UP"),
        (
            {"partition": "infer-nv", "reason": "PartitionInactive"},
            "no-node", "until infer-nv is UP",
        ),
    ],
)  # fmt: skip
def test_what_slurm_says_of_nodes_is_told_by_what_they_are(
    fields: dict[str, Any], code: str, reason: str
) -> None:
    """ReqNodeNotAvail is of drained nodes as of reserved ones; so are its words for Resources."""
    job = waiting(3, "", **({"reason": "ReqNodeNotAvail"} | fields))
    taken = replace(snapshot(job, nodes=AWAY), reservations=(MAINT,))
    shut = (replace(p, state="DOWN") if p.name == "infer-nv" else p for p in taken.partitions)
    taken = replace(taken, partitions=tuple(shut))
    (found,) = make_view(taken, POLICY, Limits()).rows
    assert (found.code, reason in found.reason) == (code, True)


def test_the_daemon_adds_its_words_and_its_memory() -> None:
    memory = Remembered(
        True,
        waiting={"3": "needs 8 free on one node; what is free goes to 2, of higher priority"},
        returned={"3": ("AssocGrpGRES", 2), "4_7": ("Resources", 1)},
    )
    array = waiting(4, "gpu:1", array_job_id=4, array_tasks="7-9%2", array_limit=2)
    texts = [r.reason for r in view(waiting(3, "gpu:8"), array, memory=memory).rows]
    assert texts[0].startswith("returned 2 times (AssocGrpGRES); needs 8 free")
    assert texts[1] == "returned (Resources); can start now; waits for the next plan"


def test_with_the_gate_open_slurms_word_counts() -> None:
    job = waiting(3, "gpu:a100:16", reason="Resources")
    assert row(job, intake="UP").reason.startswith("Resources; needs 16 free")
    assert row(waiting(3, "gpu:1", reason="Priority"), intake="UP").reason == "Priority"
    assert row(waiting(3, "", reason="Priority"), intake="UP").reason == "Priority"


def test_arrays_are_one_line_while_they_wait_and_single_when_they_run() -> None:
    rest = waiting(11, "gpu:1", array_job_id=11, array_tasks="3-9%3", array_limit=3)
    task = running(12, "nv1", "gpu:a100:1(IDX:0)", array_job_id=11, array_task_id=2)
    assert [r.id for r in view(rest, task).rows] == ["11_2", "11_[3-9%3]"]


def test_pools_come_first_and_the_gate_last() -> None:
    made = view(
        waiting(1, "gpu:1"),
        running(2, "cpu1", partition="cpu"),
        running(3, "amd1", "gpu:mi300x:1(IDX:0)", partition="train-amd"),
        waiting(4, "gpu:8", partition="train-nv", reason="Resources"),
        running(5, "nv1", "gpu:a100:1(IDX:0)"),
        waiting(6, "gpu:1", priority=200),
    )
    assert [r.id for r in made.rows] == ["5", "4", "3", "2", "6", "1"]


@pytest.mark.parametrize(
    ("job", "seconds"),
    [
        (running(1, "nv1"), 3600),
        (waiting(1, "gpu:1", start_time=NOW + 50), 0),
        (running(1, "nv1", state="COMPLETING", end_time=NOW - 3000), 600),
        (running(1, "nv1", state="TIMEOUT", end_time=NOW - 3500), 100),
        (running(1, "nv1", start_time=NOW + 9), 0),
    ],
)
def test_time_used(job: Job, seconds: int) -> None:
    assert used_seconds(job, NOW) == seconds


CHOICES = (
    running(1, "nv[1-2]", "gpu:a100:1(IDX:0)", "gpu:a100:1(IDX:0)", user="ann", uid=1001),
    running(2, "amd1", state="COMPLETED", user="bob"),
    waiting(3, "gpu:1", user="bob", uid=1002),
    waiting(11, "gpu:1", array_job_id=11, array_tasks="3-9%3"),
    running(12, "nv1", state="COMPLETING", array_job_id=11, array_task_id=2, user="ann"),
)


@pytest.mark.parametrize(
    ("choice", "ids"),
    [
        (Filters(), {"1", "3", "11_[3-9%3]", "11_2"}),
        (Filters(states="all"), {"1", "2", "3", "11_[3-9%3]", "11_2"}),
        (Filters(states="cd,CG"), {"2", "11_2"}),
        (Filters(states="pending"), {"3", "11_[3-9%3]"}),
        (Filters(users="ann"), {"1", "11_2"}),
        (Filters(users="1002"), {"3"}),
        (Filters(jobs="11"), {"11_[3-9%3]", "11_2"}),
        (Filters(jobs="11_2,3"), {"11_2", "3"}),
        (Filters(jobs="11_5"), {"11_[3-9%3]"}),
        (Filters(jobs="11_[1-2,40],1"), {"11_2", "1"}),
        (Filters(jobs="999"), set()),
        (Filters(partitions="accel"), {"3", "11_[3-9%3]"}),
        (Filters(partitions="train-nv,cpu"), {"1", "11_2"}),
        (Filters(nodes="nv2"), {"1"}),
        (Filters(nodes="nv[1-2]"), {"1", "11_2"}),
    ],
)
def test_choices(choice: Filters, ids: set[str]) -> None:
    taken = snapshot(*CHOICES)
    assert {r.id for r in choose(view(*CHOICES).rows, choice, taken)} == ids


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Filters(states="FOO"), "no job state 'FOO'"),
        (Filters(partitions="nope"), "no partition 'nope'"),
        (Filters(nodes="nv[1-9]"), "no node"),
        (Filters(nodes="nv["), "host list"),
        (Filters(jobs="1;reboot"), "not a job id"),
        (Filters(users="no\0body"), "no user"),
    ],
)
def test_a_choice_of_what_there_is_not_is_an_error(choice: Filters, message: str) -> None:
    with pytest.raises(HetError, match=message):
        choose(view(*CHOICES).rows, choice, snapshot(*CHOICES))


def test_states() -> None:
    assert read_states("R, pd,Completing") == {"RUNNING", "PENDING", "COMPLETING"}
    assert read_states("all") == frozenset()


def test_what_is_free() -> None:
    jobs = (
        running(1, "nv1", "gpu:a100:4(IDX:0-3)"),
        running(2, "l40s1", "shard:30(IDX:0)"),
        running(3, "l40s1", "gpu:l40s:1(IDX:1)"),
        running(4, "amd2", "gpu:mi300x:1(IDX:0)", exclusive=True),
    )
    nodes = (*NODES[:2], node("amd1", "gpu:mi300x:8", "train-amd", state="DOWN*", reason="psu"),
             *NODES[3:])  # fmt: skip
    inventory = take_inventory(snapshot(*jobs, nodes=nodes), POLICY)
    by_node = {n.node: n for n in free_by_node(inventory, POLICY, {})}
    assert (by_node["nv1"].free, by_node["nv1"].total) == (4, 8)
    assert by_node["l40s1"].free_gib == (18, 0, 48, 48)
    assert (by_node["amd1"].free, by_node["amd1"].note) == (0, "psu")
    assert (by_node["amd2"].free, by_node["amd2"].note) == (0, "one job has the whole node")
    pools = {p.pool: p for p in free_by_pool(inventory, POLICY, {})}
    nv, amd = pools["train-nv"], pools["train-amd"]
    assert (nv.free, nv.total, nv.best_node, nv.best) == (12, 16, "nv2", 8)
    assert (amd.free, amd.unusable, amd.best_node) == (0, 8, "")
    assert (pools["infer-nv"].shared, pools["infer-nv"].best_gib) == (True, 48)


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("IDLE", True), ("MIXED+PLANNED", True), ("ALLOCATED", True), ("IDLE-", True),
        ("MIXED+CLOUD", True), ("DOWN*", False), ("IDLE*", False), ("IDLE+DRAIN", False),
        ("IDLE~", True), ("IDLE+CLOUD+POWERED_DOWN", True), ("DOWN+NOT_RESPONDING", False),
        ("IDLE%", False), ("IDLE+POWERING_DOWN", False), ("DOWN~", False),
        ("IDLE+RESERVED", False), ("MIXED@", False),
    ],
)  # fmt: skip
def test_nodes_that_start_nothing_have_nothing_free(state: str, usable: bool) -> None:
    nodes = (node("nv1", "gpu:a100:8", "train-nv", state=state),)
    inventory = take_inventory(snapshot(nodes=nodes), POLICY)
    assert free_by_node(inventory, POLICY, {})[0].free == (8 if usable else 0)


def test_pools_that_are_not_up_have_nothing_free() -> None:
    taken = snapshot(
        nodes=(node("nv1", "gpu:a100:8", "train-nv"), node("amd1", "gpu:mi300x:8", "train-amd"))
    )
    shut = shut_pools(
        (Partition("train-nv", "DOWN"), Partition("train-amd"), Partition("debug", "DOWN")), POLICY
    )
    assert shut == {"train-nv": "DOWN"}
    inventory = take_inventory(taken, POLICY)
    nodes = {n.node: (n.free, n.note) for n in free_by_node(inventory, POLICY, shut)}
    assert nodes == {"nv1": (0, "pool train-nv is DOWN"), "amd1": (8, "")}
    pools = {p.pool: (p.free, p.unusable) for p in free_by_pool(inventory, POLICY, shut)}
    assert pools == {"train-nv": (0, 8), "train-amd": (8, 0)}


def test_short_spellings() -> None:
    assert count_text([8, 8]) == "2x8"
    assert count_text([5, 1, 1]) == "5+2x1"
    assert count_text([0]) == ""
    held = [HeldDevices("a1", (0, 1), 2), HeldDevices("a2", (0, 1), 2), HeldDevices("b1", None, 3)]
    assert fold_held(held) == "a[1-2]:0-1;b1:?x3"


def two_halves() -> tuple[Job, Job]:
    """Half of both NVIDIA nodes is taken for an hour, and a job that needs both waits there."""
    half = running(1, "nv[1-2]", "gpu:a100:4(IDX:0-3)", "gpu:a100:4(IDX:0-3)")
    fields = {"user": "eve", "cpus": 2, "tasks": 2, "nodes_min": 2, "nodes_max": 2}
    whole = waiting(58, "gpu:8", req_nodes="nv[1-2]", time_limit_minutes=60, **fields)
    mark = encode_comment(Classification("training", vendors=("nvidia",)), {})
    return half, replace(whole, partition="train-nv", reason="Resources", admin_comment=mark)


def kept_back(number: int) -> Job:
    """A job that could start at once, but for the nodes that are kept for 58."""
    return waiting(number, "gpu:a100:1", time_limit_minutes=120, user="ann")


def test_everybody_reads_for_whom_nodes_are_kept_and_until_when() -> None:
    """The pin is in Slurm's own record: nobody has to ask hetd."""
    half, whole = two_halves()
    made = view(half, whole, kept_back(63), at=lambda t: f"t+{t - NOW:.0f}")
    (reason,) = (r.reason for r in made.rows if r.id == "63")
    assert reason == (
        "nv1, nv2 are kept for job 58 until t+3600 at the latest, and this job might still run then"
    )
    in_time = replace(kept_back(64), time_limit_minutes=50)
    rows = view(half, whole, in_time).rows
    assert [r.reason for r in rows if r.id == "64"] == ["can start now; waits for hetd"]


def test_nothing_is_kept_and_no_time_stands_where_a_pinned_node_is_down() -> None:
    half, whole = two_halves()
    whole = replace(whole, start_time=NOW + 3600)
    expected = [r.reason for r in view(half, whole).rows if r.id == "58"]
    (half_id,) = {str(half.id)}
    by = f"expected by {NOW + 3600} ({half_id} is there)"
    assert expected == [f"Resources; pinned to nv[1-2], {by}"]
    down = tuple(replace(n, state="DOWN*") if n.name == "nv1" else n for n in NODES)
    rows = {r.id: r.reason for r in view(half, whole, kept_back(3), nodes=down).rows}
    assert rows["58"] == "Resources; pinned to nv[1-2], and nv1 is DOWN*"
    assert rows["3"] == "can start now; waits for hetd"


def test_of_many_jobs_behind_one_reservation_none_reads_that_it_can_start() -> None:
    half, whole = two_halves()
    rows = view(half, whole, *(kept_back(n) for n in range(100, 305))).rows
    reasons = {r.reason for r in rows if r.pool == "gate"}
    assert len([r for r in rows if r.pool == "gate"]) == 205
    assert not any("can start now" in reason for reason in reasons)
    assert len(reasons) == 1, "they ask the same, and are told the same"


def test_what_is_not_looked_at_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_het.core.reservations.look_ahead.EXPLAINED", 3)
    half, whole = two_halves()
    jobs = [replace(kept_back(100 + n), min_cpus_per_node=n) for n in range(1, 11)]
    rows = view(half, whole, *jobs).rows
    reasons = [r.reason for r in rows if r.pool == "gate"]
    assert sum("kept for job 58" in reason for reason in reasons) == 3
    assert sum("not looked at" in reason for reason in reasons) == 7


def test_the_slots_are_those_of_the_plan() -> None:
    """The nodes that its constraint allows have four devices: it goes to two of them."""
    small = frozenset({"small"})
    nodes = (*NODES, *(node(f"s{n}", "gpu:a100:4", "train-nv", features=small) for n in (1, 2)))
    job = waiting(1, "", tres_per_job="gpu:a100:8", features="small")
    (found,) = view(job, nodes=nodes).rows
    assert [BY_NAME[name].text(found) for name in ("count", "memory")] == ["2x4", "(640)"]


def test_two_equal_nodes_that_are_idle_can_start_a_job() -> None:
    job = waiting(1, "gpu:a100:8", nodes_min=2, nodes_max=2, tasks=2)
    assert row(job).reason == "can start now; waits for hetd"
