"""The pure cycle's verbs: what they make of Slurm's records, and of what is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.core.model import Job, Placement, Plan, Snapshot
from slurm_het.core.planner.in_order import in_order
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import (
    Memory,
    Observed,
    Prepared,
    TakeBack,
    decide,
    learn,
    observe,
    prepare,
)
from slurm_het.core.planner.repairs import LastPlan, Planned, no_journal
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import Kept
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.worth.forecast import Forecast
from tests.support.world import gated, marked, policy, running, snapshot, with_side_door

GRACE = 10.0
FULL = "gpu:a100:8(IDX:0-7)"


class Hetd:
    """What one hetd remembers from look to look."""

    def __init__(self, last_plan: LastPlan = no_journal, *, side_door: bool = True) -> None:
        self.memory = Memory(Pins(GRACE, retry_seconds=60.0))
        self.last_plan, self.side_door = last_plan, side_door

    def observe(self, *jobs: Job, seconds: float = 0.0, drained: Iterable[str] = ()) -> Observed:
        """Look at these jobs on the sandbox's nodes, so many seconds after the first look."""
        there = with_side_door(snapshot(*jobs)) if self.side_door else snapshot(*jobs)
        taken = with_drained(there, drained)
        taken = replace(taken, time=1000.0 + seconds)
        return observe(taken, policy(), self.memory, seconds, self.last_plan)

    def prepare(self, *jobs: Job) -> Prepared:
        """Look at these jobs, and prepare a plan at once."""
        return prepare(self.observe(*jobs), Limits(reserve_after_seconds=0.0), self.memory, 0.0)


def with_drained(taken: Snapshot, names: Iterable[str]) -> Snapshot:
    nodes = (replace(n, state=n.state + "+DRAIN" * (n.name in names)) for n in taken.nodes)
    return replace(taken, nodes=tuple(nodes))


def planned(node: str, *devices: int, gib: int = 80, start: float = 0.0) -> LastPlan:
    """A journal that has this plan for every job."""
    return lambda job: Planned(Placement(job.key, "train-nv", (node,), (devices,), (), gib), start)


def pinned(number: int, nodes: str, **fields: object) -> Job:
    """A job that is released to these nodes and waits to start there."""
    job = marked(number, **fields)
    return replace(job, partition="train-nv", req_nodes=nodes, reason="Resources")


def keys(prepared: Prepared) -> list[str]:
    return [task.key for task in prepared.window]


def test_a_node_list_that_a_refused_release_left_is_none_its_users_own_is_kept() -> None:
    left = marked(1, req_nodes="nv1")
    ours = Hetd(planned("nv1", 0)).prepare(left)
    assert ours.snapshot.jobs == (replace(left, req_nodes=""),)
    assert (keys(ours), ours.queue.handovers) == (["1"], {})
    for hetd in (Hetd(planned("nv2", 0)), Hetd()):
        theirs = hetd.prepare(left)
        assert theirs.snapshot.jobs == (left,)
        assert (keys(theirs), list(theirs.queue.handovers)) == ([], ["1"])


@pytest.mark.parametrize(
    ("asked", "node", "plan", "held"),
    [
        ("gpu:2", "nv1", planned("nv1", 3, 4), {3: 80, 4: 80}),
        ("shard:24", "l40s1", planned("l40s1", 2, gib=24), {2: 24}),
        ("gpu:2", "nv1", no_journal, {}),
    ],
)
def test_a_completing_job_that_nobody_saw_run_holds_what_was_planned_for_it(
    asked: str, node: str, plan: LastPlan, held: dict[int, int]
) -> None:
    """22.05 prints no details of it."""
    ending = replace(marked(9, tres_per_node=asked), partition="x", state="COMPLETING", nodes=node)
    hetd = Hetd(plan)
    for _ in range(2):  # the second look knows it from the first
        devices = hetd.observe(ending).inventory.nodes[node].devices
        assert {d.index: d.occupied_gib for d in devices if not d.empty} == held


def test_a_completing_job_holds_what_it_was_seen_to_hold_rather_than_what_was_planned() -> None:
    hetd = Hetd(planned("nv1", 0))
    on = running(9, "nv1", "gpu:a100:1(IDX:5)", tres_per_node="gpu:1")
    hetd.observe(on)
    ending = replace(on, state="COMPLETING", gres_detail=())
    devices = hetd.observe(ending).inventory.nodes["nv1"].devices
    assert [d.index for d in devices if not d.empty] == [5]


def test_a_stray_is_classified_before_it_is_planned_unless_that_failed() -> None:
    hetd = Hetd()
    found = hetd.prepare(gated(7), marked(8))
    assert (found.strays, keys(found)) == (frozenset({7}), ["8"])
    hetd.memory.not_adopted.add(7)
    found = hetd.prepare(gated(7), marked(8))
    assert (found.strays, keys(found)) == (frozenset(), ["7", "8"])
    hetd.prepare(marked(8))
    assert hetd.memory.not_adopted == set(), "a job that is gone is not remembered"


def test_who_needs_what_no_node_has_goes_to_plain_slurm_where_slurm_does_not_show_all() -> None:
    job = marked(1, tres_per_node="gpu:2")
    job = replace(job, tres_per_node="gpu:zzz:2")
    assert "1" not in Hetd().prepare(job).queue.handovers
    observed = Hetd().observe(job)
    observed = replace(observed, snapshot=replace(observed.snapshot, unseen=frozenset({"c1"})))
    made = prepare(observed, Limits(), Hetd().memory, 0.0)
    assert set(made.queue.handovers) == {"1"}


def test_somebody_for_whom_a_plans_time_was_spent_in_vain_comes_last_for_once() -> None:
    hetd, jobs = Hetd(), (marked(1, priority=2000), marked(2, tres_per_node="gpu:2"))
    first = hetd.prepare(*jobs)
    assert keys(first) == ["1", "2"]
    made = decide(first, Forecast(), nobody, hurry=lambda: True)
    assert (made.placements, made.left_out) == ((), 1)
    learn(hetd.memory, first, made)
    second = hetd.prepare(*jobs)
    assert keys(second) == ["2", "1"]
    made = decide(second, Forecast(), greedy)
    assert {p.key for p in made.placements} == {"1", "2"}
    learn(hetd.memory, second, made)
    third = hetd.prepare(*jobs)
    assert keys(third) == ["1", "2"]
    made = decide(third, Forecast(), greedy, hurry=lambda: True)
    assert ([p.key for p in made.placements], made.left_out) == (["1"], 1)
    learn(hetd.memory, third, made)
    assert keys(hetd.prepare(*jobs)) == ["1", "2"], "that time was not spent in vain"


def nobody(_problem: Problem) -> Solution:
    """A solver that starts nobody."""
    return Solution()


def test_a_pin_ahead_is_recognised_without_a_journal_and_takes_nothing_yet() -> None:
    hetd = Hetd()
    full = running(8, "nv1", FULL, end_time=5000)
    found = hetd.prepare(full, pinned(1, "nv1", tres_per_node="gpu:8"))
    (pin,) = found.pins
    assert (pin.task.key, pin.placement.nodes, pin.start) == ("1", ("nv1",), 5000.0)
    assert hetd.memory.pins.ahead() == (pin,)
    holders = {key for d in found.room.nodes["nv1"].devices for key in d.holders}
    assert holders == {"8"}


def test_a_pin_whose_nodes_are_free_starts_at_once_and_its_devices_are_taken() -> None:
    hetd = Hetd()
    found = hetd.prepare(pinned(1, "nv1", tres_per_node="gpu:8"), marked(2, tres_per_node="gpu:8"))
    (pin,) = found.pins
    assert (pin.start, hetd.memory.pins.ahead()) == (0.0, ())
    assert [d.holders for d in found.room.nodes["nv1"].devices] == [("1",)] * 8
    made = decide(found, Forecast(), greedy)
    assert [(p.key, p.nodes) for p in made.placements] == [("2", ("nv2",))]


def test_a_pin_has_its_journals_devices_and_start_where_its_nodes_are_those() -> None:
    free = pinned(1, "nv1")
    assert Hetd(planned("nv1", 6, start=7000.0)).observe(free).recovered == ("1",)
    (pin,) = Hetd(planned("nv1", 6, start=7000.0)).prepare(free).pins
    assert (pin.placement.devices, pin.start) == (((6,),), 1060.0), "its node is free by now"
    (pin,) = Hetd(planned("nv2", 6, start=7000.0)).prepare(free).pins
    assert (pin.placement.nodes, pin.placement.devices, pin.start) == (("nv1",), ((0,),), 0.0)


def test_a_pin_ahead_whose_node_is_free_by_now_keeps_nobody_off_the_rest_of_it() -> None:
    """Slurm starts it at its next pass; until then small tasks would break other nodes."""
    hetd = Hetd(planned("nv1", 6, start=7000.0))
    elsewhere = running(3, "nv2", FULL, end_time=99999)
    found = hetd.prepare(pinned(1, "nv1"), marked(2, tres_per_node="gpu:2"), elsewhere)
    assert [pin.start for pin in found.pins] == [1060.0]
    made = decide(found, Forecast(), greedy)
    assert [(p.key, p.nodes) for p in made.placements] == [("2", ("nv1",))]
    assert 6 not in made.placements[0].devices[0]


def test_a_large_task_gets_its_nodes_while_one_that_was_pinned_ahead_starts() -> None:
    """Else the small ones that come after it are pinned ahead one by one, and it never is."""
    hetd = Hetd(planned("nv1", 6, start=7000.0))
    full = running(3, "nv2", FULL, end_time=5000), running(4, "nv1", "gpu:a100:6(IDX:0-5)")
    full = full[0], replace(full[1], end_time=6000, time_limit_minutes=90)
    large = marked(2, tres_per_node="gpu:8", nodes_min=2, nodes_max=2)
    found = hetd.prepare(*full, pinned(1, "nv1"), large, marked(5, tres_per_node="gpu:8"))
    (made,) = found.ahead.reserve
    assert (made.task.key, set(made.placement.nodes)) == ("2", {"nv1", "nv2"})


def test_late_and_stranded_pins_are_taken_back_never_one_that_is_completing() -> None:
    hetd = Hetd()
    late, stranded, ending = pinned(1, "nv1"), pinned(2, "nv2"), pinned(3, "nv2")
    half = running(8, "nv1", "gpu:a100:4(IDX:4-7)", end_time=5000)
    ahead = pinned(4, "nv1", tres_per_node="gpu:8")
    hetd.observe(half, late, ahead)
    assert hetd.observe(half, late, ahead, stranded, ending, seconds=5.0).take_back == ()
    ending = replace(ending, state="COMPLETING", nodes="")
    jobs = half, late, ahead, stranded, ending
    found = hetd.observe(*jobs, seconds=GRACE, drained=("nv2",))
    assert found.take_back == (
        TakeBack("1", "Resources", penalty=True),
        TakeBack("2", "nv2 is IDLE+DRAIN", penalty=False),
    )
    assert found.outcomes == ()
    found = hetd.observe(*jobs, seconds=5.0 + GRACE, drained=("nv2",))
    assert [pair.key for pair in found.take_back] == ["1", "2"]
    assert [(o.key, o.event) for o in found.outcomes] == [("3", "started")]


def test_a_pin_that_slurm_says_it_will_not_start_is_taken_back_at_once() -> None:
    hetd = Hetd()
    hetd.observe(pinned(1, "nv1"))
    found = hetd.observe(replace(pinned(1, "nv1"), reason="BadConstraints"), seconds=1.0)
    assert found.take_back == (TakeBack("1", "BadConstraints", penalty=True),)


def test_a_limit_that_slurm_tells_of_holds_back_the_jobs_alike() -> None:
    hetd = Hetd()
    hetd.observe(pinned(1, "nv1"))
    refused = replace(pinned(1, "nv1"), reason="AssocMaxJobsLimit", user="alice")
    found = hetd.observe(refused, marked(2, user="alice"), seconds=1.0)
    assert found.take_back == (TakeBack("1", "AssocMaxJobsLimit", penalty=False),)
    hetd.memory.pins.pins.clear()
    jobs = marked(1, user="alice"), marked(2, user="alice"), marked(3, user="bob")
    prepared = hetd.prepare(*jobs)
    assert [task.key for task in prepared.window] == ["3"]
    assert set(prepared.held) == {"1", "2"}
    assert str(prepared.held["2"]).startswith("AssocMaxJobsLimit: Slurm did not start job 1")


def test_everybody_has_his_turn_while_plans_run_out_of_time() -> None:
    """Three parts of a window, of which each plan reaches one and places nothing."""
    jobs = [marked(number, priority=2000 - number) for number in range(1, 7)]
    memory, looked_at = Memory(Pins(60, 60)), []
    for _ in range(3):
        prepared = prepare(observe(snapshot(*jobs), policy(), memory, 0.0), Limits(), memory, 0.0)
        looked_at.append({task.key for task in prepared.window[:2]})
        learn(memory, prepared, Plan(left_out=4))
    assert set().union(*looked_at) == {job.key for job in jobs}
    assert memory.passed_over == frozenset(), "all have had their turn: it begins anew"


def test_a_pin_whose_mark_another_program_has_overwritten_is_known_from_the_journal() -> None:
    job = replace(pinned(1, "nv1"), admin_comment="node=ip-10-0-0-1")
    assert Hetd(planned("nv1", 0)).observe(job).recovered == ("1",)
    assert Hetd(planned("nv2", 0)).observe(job).recovered == (), "its user wrote that list"
    assert Hetd().observe(job).recovered == ()


def test_a_job_that_slurm_starts_on_no_nodes_it_is_given_is_slurms_in_the_end() -> None:
    """Its --segment stands in no record of it (24.11)."""
    hetd, job = Hetd(), marked(7)
    for number in (1, 2):
        assert keys(hetd.prepare(job)) == ["7"]
        stuck = replace(pinned(7, f"nv{number}"), reason="BadConstraints", priority=0)
        (due,) = hetd.observe(stuck).take_back
        hetd.memory.pins.take_back(due.key, due.reason, -1000.0)
    prepared = hetd.prepare(job)
    assert not keys(prepared)
    assert prepared.queue.handovers["7"].partitions == ("train-nv",)


@pytest.mark.parametrize(("nodes", "theirs"), [(2, True), (1, False)])
def test_gpus_that_slurm_does_not_deal_out_over_our_nodes_it_gets_at_once(
    nodes: int, theirs: bool
) -> None:
    """Of two-threaded cores no list of just as many nodes does for --gpus=5 -n5 (24.11, 26.05)."""
    hetd = Hetd()
    tasks = {"tasks": 5, "cpus": 5, "nodes_min": nodes, "nodes_max": nodes}
    job = marked(7, tres_per_node="", tres_per_job="gpu:5", **tasks)
    assert keys(hetd.prepare(job)) == ["7"]
    hetd.memory.pins.take_back("7", "BadConstraints", -1000.0)
    prepared = hetd.prepare(job)
    assert ("7" in prepared.queue.handovers) == theirs
    assert (keys(prepared) == []) == theirs


def test_what_is_like_a_job_that_slurm_will_never_start_comes_last() -> None:
    """Else each of a user's hundred such jobs held the idle nodes for a cycle, one by one."""
    whole = {"tres_per_node": "gpu:8", "nodes_min": 2}
    his = [marked(n, priority=1000 - n, **whole) for n in (1, 2, 3)]
    small = marked(4, priority=500)
    hers = marked(5, priority=1, user="bob", uid=1001, tres_per_node="gpu:2")
    hetd = Hetd()
    hetd.memory.pins.take_back("1", "Priority", 0.0)
    assert keys(hetd.prepare(*his, small, hers)) == ["2", "3", "4", "5"]
    hetd.memory.pins.take_back("1", "BadConstraints", 0.0)
    assert keys(hetd.prepare(*his, small, hers)) == ["4", "5", "2", "3"]
    assert keys(hetd.prepare(*his[1:], small, hers)) == ["2", "3", "4", "5"], "it is gone"


def test_who_asks_for_less_of_a_pinned_job_is_looked_for_elsewhere() -> None:
    """It is pinned to the node that is free first; a shorter limit fits before a reservation."""
    busy = running(1, "nv1", FULL, end_time=1000 + 3600)
    later = ReservationRecord("upkeep", 1000 + 1800, 1000 + 9999, ("nv2",))
    hetd = Hetd(planned("nv1", 0, start=1000 + 3600))

    def looked(minutes: int) -> Prepared:
        job = pinned(7, "nv1", tres_per_node="gpu:a100:1", time_limit_minutes=minutes)
        taken = replace(snapshot(busy, job), time=1000.0, reservations=(later,))
        observed = observe(taken, policy(), hetd.memory, 0.0, hetd.last_plan)
        return prepare(observed, Limits(reserve_after_seconds=0.0), hetd.memory, 0.0)

    assert looked(60).ahead.move == {}
    assert hetd.memory.pins.pins["7"].task.minutes == 60
    assert looked(29).ahead.move == {"7": "other nodes are free sooner"}
    assert looked(90).ahead.move == {"7": "other nodes are free sooner"}  # more is nobody's wish


@pytest.mark.parametrize(("nodes", "waits"), [(1, False), (2, True)])
def test_who_takes_his_job_back_to_ask_for_fewer_nodes_need_not_wait(
    nodes: int, waits: bool
) -> None:
    asks = {"tres_per_node": "gpu:a100:8", "tasks": 2, "cpus": 2}
    both = Placement("7", "train-nv", ("nv1", "nv2"), (tuple(range(8)),) * 2, (), 80)
    hetd = Hetd(lambda _job: Planned(both, 4600.0))
    busy = running(1, "nv1", FULL, end_time=1000 + 3600)
    hetd.observe(busy, pinned(7, "nv1,nv2", nodes_min=2, nodes_max=2, **asks))
    assert hetd.memory.pins.pins
    hetd.observe(busy, marked(7, nodes_min=nodes, nodes_max=nodes, **asks), seconds=5)
    assert hetd.memory.pins.may_try("7", 5.0) == (not waits)


def test_who_comes_after_a_large_task_does_not_take_its_nodes_in_the_same_plan() -> None:
    """All come at once: the large one could start alone, and cannot beside the first."""

    def asks(number: int, gpus: int, minutes: int, nodes: int = 1) -> Job:
        return marked(
            number, tres_per_node=f"gpu:{gpus}", nodes_min=nodes, nodes_max=nodes,
            time_limit_minutes=minutes, priority=100 - number,
        )  # fmt: skip

    prepared = Hetd().prepare(
        asks(1, 8, 60), asks(2, 8, 120, nodes=2), asks(3, 4, 600), asks(4, 4, 60)
    )
    made = decide(prepared, Forecast(), greedy)
    assert [placement.key for placement in made.placements] == ["1", "4"]
    waits = made.waiting["3"]
    assert isinstance(waits, Kept)
    assert (set(waits.nodes), waits.owner, waits.until) == ({"nv1", "nv2"}, "2", 1000.0 + 3600)
    assert [p.key for p in decide(prepared, Forecast(), greedy).placements] == ["1", "4"]

    elsewhere = Hetd().prepare(asks(1, 8, 60), asks(2, 8, 120, nodes=3), asks(3, 4, 600))
    made = decide(elsewhere, Forecast(), greedy)
    assert [p.key for p in made.placements] == ["1", "3"], "nobody waits for what never fits"


def wants(number: int, gpus: int, minutes: int, nodes: int = 1) -> Job:
    """A job in its turn: the lower its number, the sooner."""
    return marked(
        number, tres_per_node=f"gpu:{gpus}", nodes_min=nodes, nodes_max=nodes, tasks=nodes,
        cpus=nodes, time_limit_minutes=minutes, priority=100 - number,
    )  # fmt: skip


HALF, LATER = "gpu:a100:4(IDX:0-3)", {"end_time": 1900}
ONE_FREE = running(91, "nv1", HALF), running(92, "nv2", FULL, **LATER)
"""Half of nv1 is free, and no more for ever; nv2 is in fifteen minutes."""
BOTH_FREE = running(91, "nv1", HALF), running(92, "nv2", "gpu:a100:6(IDX:0-5)", **LATER)
"""A quarter of nv2 is free, too."""


@pytest.mark.parametrize(
    ("busy", "waiting", "starts"),
    [
        (ONE_FREE, [wants(2, 2, 600, 2), wants(3, 1, 1440)], {"3": "nv1"}),
        (ONE_FREE, [wants(1, 2, 240), wants(2, 2, 600, 2), wants(3, 1, 1440)], {"1": "nv1"}),
        (
            ONE_FREE,
            [wants(1, 2, 240), wants(2, 2, 600, 2), wants(3, 1, 10), wants(4, 1, 1440)],
            {"1": "nv1", "3": "nv1"},
        ),
        (
            ONE_FREE,
            [wants(0, 8, 10), wants(1, 2, 240), wants(2, 2, 600, 2), wants(3, 1, 1440)],
            {"1": "nv1"},
        ),
        (BOTH_FREE, [wants(1, 2, 240), wants(2, 4, 600, 2), wants(3, 1, 180)], {"1": "nv2"}),
    ],
    ids=[
        "what is to spare", "what starts above is not", "who ends in time", "the second blocked",
        "the plan has it elsewhere",
    ],
)  # fmt: skip
def test_no_plan_delays_whom_it_lets_wait(
    busy: tuple[Job, ...], waiting: list[Job], starts: dict[str, str]
) -> None:
    """Job 2 is to start when nv2 gets free. Where no job comes past the gate nobody is pinned
    ahead: what the plan itself starts must leave him that."""
    prepared = Hetd(side_door=False).prepare(*busy, *waiting)
    assert not prepared.ahead.reservations
    made = decide(prepared, Forecast(), greedy)
    assert {placement.key: ",".join(placement.nodes) for placement in made.placements} == starts


def test_who_was_placed_where_another_is_to_start_has_what_is_free_elsewhere() -> None:
    """Job 3 would be on nv1 when job 2 is to start there; job 4, below it, does not get nv2."""
    half, waiting = running(91, "nv2", HALF), [wants(2, 8, 60), wants(3, 2, 85), wants(4, 4, 155)]
    hetd = Hetd(side_door=False)
    prepared = hetd.prepare(half, wants(1, 6, 65), *waiting)
    where = {"1": ("nv1", range(6)), "3": ("nv1", (6, 7)), "4": ("nv2", range(4, 8))}
    placements = tuple(
        Placement(key, "train-nv", (node,), (tuple(devices),), (), 80)
        for key, (node, devices) in where.items()
    )
    made = in_order(Plan(placements), prepared.window, prepared.shield)
    assert [placement.key for placement in made.placements] == ["1"]
    owners = {key: why.owner for key, why in made.waiting.items() if isinstance(why, Kept)}
    assert owners == {"3": "2", "4": "3"}

    first = running(1, "nv1", "gpu:a100:6(IDX:0-5)", end_time=1000 + 65 * 60)
    made = decide(hetd.prepare(half, first, *waiting), Forecast(), greedy)
    assert [(placement.key, placement.nodes) for placement in made.placements] == [("3", ("nv2",))]
