"""Tasks within the site's limits: who is at one, by which of Slurm's rules, and what is claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.lots import spread
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.limits.within import within_limits
from slurm_het.core.model import Job, Placement, Slot, Snapshot, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.reasons import AtLimit, Reason
from slurm_het.core.reasons.codes import code_of
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.support import world

ANN = Association("vision", "ann")
VISION = Association("vision", parent="research")
RESEARCH = Association("research", parent="root")
PER_USER = Limit("MaxTRESPU", "gres/gpu", 4)
NV, AMD = "train-nv", "train-amd"


def site(*records: Qos | Association, safe: bool = True) -> SiteLimits:
    """A site where ann is in vision, below research."""
    associations = {(a.account, a.user): a for a in (ANN, VISION, RESEARCH)}
    associations |= {(a.account, a.user): a for a in records if isinstance(a, Association)}
    qos = tuple(q for q in records if isinstance(q, Qos))
    return SiteLimits(tuple(associations.values()), qos, safe)


def job(number: int, **fields: object) -> Job:
    known: dict[str, object] = {"account": "vision", "qos": "normal"}
    return world.gated(number, **(known | fields))


def task(number: int, devices: int = 1, **fields: object) -> Task:
    base: dict[str, object] = {"job_id": number, "minutes": 60, "slots": (Slot(devices, 2, 1024),)}
    return world.task(str(number), **(base | fields))


def snapshot(limits: SiteLimits, jobs: Iterable[Job], **partition_qos: str) -> Snapshot:
    shot = world.snapshot(*jobs)
    named = {name.replace("_", "-"): qos for name, qos in partition_qos.items()}
    partitions = tuple(replace(p, qos=named.get(p.name, "")) for p in shot.partitions)
    return replace(shot, limits=limits, partitions=partitions)


def see(
    limits: SiteLimits, *tasks: Task, pins: Iterable[Pin] = (), jobs: Iterable[Job] = (), **qos: str
) -> tuple[tuple[Task, ...], dict[str, Reason]]:
    known = {one.id: one for one in jobs}
    known = {t.job_id: job(t.job_id) for t in tasks} | known
    shot = snapshot(limits, known.values(), **qos)
    within = within_limits(shot, tasks, pins, world.inventory(), lambda _: True)
    first = tuple(within.in_turn(within.tasks, lambda task: task, lambda _: True))
    return within.claiming(first), within.held_beside({task.key for task in first})


def held_by(limits: SiteLimits, *tasks: Task, **qos: str) -> str:
    """Slurm's reason for which a single task waits; '' if it may be planned."""
    allowed, held = see(limits, *(tasks or (task(1),)), pins=(), jobs=(), **qos)
    assert len(allowed) + len(held) == len(tasks or (1,))
    reasons = list(held.values())
    return reasons[0].word if reasons and isinstance(reasons[0], AtLimit) else ""


@pytest.mark.parametrize(
    ("most", "used", "nodes", "claimed"),
    [(3, 0, 2, 2), (2, 0, 2, 2), (2, 1, 1, 1), (1, 0, 1, 1)],
)
def test_who_is_spread_over_more_nodes_takes_more_of_a_limit(
    most: int, used: int, nodes: int, claimed: int
) -> None:
    """It asks for one node as it is, where none has eight devices; two have four each."""
    room = world.inventory()
    halves = {
        name: replace(node, devices=node.devices[:4], partitions=("train-nv",))
        for name, node in room.nodes.items()
        if name in {"nv1", "nv2"}
    }
    room = replace(room, nodes=halves)
    open_ = task(1, 8, exclusive=True, lot=1, most_nodes=8)
    limits = site(qos(Limit("MaxTRESPU", "node", most, used)))
    within = within_limits(
        snapshot(limits, [job(1)]), (open_,), (), room, lambda one: could_start(one, room)
    )
    (allowed,) = within.claiming(within.tasks)
    assert len(spread(allowed, room).slots) == nodes
    assert [claim.amount for claim in allowed.claims] == [claimed]


MY_JOBS = Limit("MaxJobsPU", "", 1, 1)
MY_WALL = Limit("MaxWallPJ", "", 59)
SMALL_NV, SMALL_ALL = Limit("MaxTRESPU", "gres/gpu:a100", 1), Limit("MaxTRESPU", "gres/gpu", 4, 4)


@pytest.mark.parametrize(
    ("limits", "word", "code"),
    [
        ((MY_JOBS,), "QOSMaxJobsPerUserLimit", "limit"),
        ((MY_WALL,), "QOSMaxWallDurationPerJobLimit", "never"),
        ((MY_JOBS, MY_WALL), "QOSMaxWallDurationPerJobLimit", "never"),
        ((Limit("MaxTRESPU", "gres/gpu", 1, 1),), "QOSMaxGRESPerUser", "never"),
        ((Limit("MaxTRESPU", "gres/gpu", 2, 2),), "QOSMaxGRESPerUser", "limit"),
        ((SMALL_NV, SMALL_ALL), "QOSMaxGRESPerUser", "limit"),
    ],
)
def test_of_several_limits_that_which_never_passes_is_told(
    limits: tuple[Limit, ...], word: str, code: str
) -> None:
    """Where it may go to several types, that of one where waiting helps."""
    _, held = see(site(qos(*limits)), task(1, 2, types=frozenset({"a100", "mi300x"}),
                                           pools=(NV, AMD)))  # fmt: skip
    (reason,) = held.values()
    assert isinstance(reason, AtLimit)
    assert (reason.word, code_of(reason)) == (word, code)


def qos(*limits: Limit, name: str = "normal", over: bool = False) -> Qos:
    """A QOS whose per-user and per-account limits are those of ann and of vision."""
    users = tuple(one for one in limits if one.word.endswith("PU"))
    accounts = tuple(one for one in limits if one.word.endswith("PA"))
    own = tuple(one for one in limits if one not in (*users, *accounts))
    return Qos(name, over, own, users={1000: users}, accounts={"vision": accounts})


@pytest.mark.parametrize(
    ("limit", "word"),
    [
        (Limit("MaxTRESPU", "gres/gpu", 4, 4), "QOSMaxGRESPerUser"),
        (Limit("MaxTRESPU", "gres/gpu", 4, 3), ""),
        (Limit("MaxTRESPU", "gres/gpu", 0), "QOSMaxGRESPerUser"),
        (Limit("MaxTRESPU", "cpu", 8, 7), "QOSMaxCpuPerUserLimit"),
        (Limit("MaxTRESPU", "cpu", 8, 6), ""),
        (Limit("MaxTRESPA", "mem", 2048, 1025), "MaxMemoryPerAccount"),
        (Limit("MaxTRESPA", "mem", 2048, 1024), ""),
        (Limit("MaxJobsPU", "", 3, 3), "QOSMaxJobsPerUserLimit"),
        (Limit("MaxJobsPA", "", 3, 3), "MaxJobsPerAccount"),
        (Limit("GrpJobs", "", 3, 3), "QOSGrpJobsLimit"),
        (Limit("GrpTRES", "gres/gpu", 4, 4), "QOSGrpGRES"),
        (Limit("GrpTRES", "gres/gpu:a100", 4, 4), "QOSGrpGRES"),
        (Limit("GrpTRES", "gres/gpu:mi300x", 4, 4), ""),
        (Limit("GrpTRES", "billing", 4, 4), ""),
        (Limit("GrpTRES", "license/matlab", 4, 4), ""),
        (Limit("GrpTRES", "node", 2, 2), ""),  # it may be on one of the two
        (Limit("GrpTRESMins", "gres/gpu", 100, 41), "QOSGrpGRESMinutes"),
        (Limit("GrpTRESMins", "gres/gpu", 100, 40), ""),
        (Limit("GrpTRESMins", "gres/gpu", 100, 0, 41), "QOSGrpGRESMinutes"),
        (Limit("GrpTRESRunMins", "cpu", 500, 381), "QOSGrpCPURunMinutesLimit"),
        (Limit("GrpWall", "", 500, 500), "QOSGrpWallLimit"),
        (Limit("MaxWallPJ", "", 59), "QOSMaxWallDurationPerJobLimit"),
        (Limit("MaxWallPJ", "", 60), ""),
        (Limit("MaxTRESPJ", "gres/gpu", 0), "QOSMaxGRESPerJob"),
        (Limit("MaxTRESPN", "gres/gpu", 0), "QOSMaxGRESPerNode"),
        (Limit("MaxTRESMinsPJ", "cpu", 119), "QOSMaxCpuMinutesPerJobLimit"),
        (Limit("MaxSubmitJobsPU", "", 1, 1), ""),
    ],
    ids=str,
)
def test_a_task_at_a_limit_of_its_qos_waits_and_names_it(limit: Limit, word: str) -> None:
    assert held_by(site(qos(limit))) == word


@pytest.mark.parametrize(
    ("limit", "word"),
    [
        (Limit("GrpTRESMins", "gres/gpu", 10**6), "QOSGrpGRESMinutes"),
        (Limit("GrpTRESRunMins", "cpu", 10**6), "QOSGrpCPURunMinutesLimit"),
        (Limit("MaxTRESMinsPJ", "cpu", 10**6), "QOSMaxCpuMinutesPerJobLimit"),
        (Limit("MaxWallPJ", "", 10**6), "QOSMaxWallDurationPerJobLimit"),
        (Limit("GrpTRES", "gres/gpu", 4), ""),
    ],
    ids=str,
)
def test_a_task_without_a_time_limit_asks_for_more_minutes_than_there_are(
    limit: Limit, word: str
) -> None:
    assert held_by(site(qos(limit)), task(1, minutes=None)) == word


def test_minutes_count_once_they_are_used_where_slurm_is_not_safe() -> None:
    assert not held_by(site(qos(Limit("GrpTRESMins", "gres/gpu", 100, 99, 50)), safe=False))
    used_up = site(qos(Limit("GrpTRESMins", "gres/gpu", 100, 100)), safe=False)
    assert held_by(used_up) == "QOSGrpGRESMinutes"


@pytest.mark.parametrize(
    ("limit", "fields", "word"),
    [
        # nv1 and nv2 have 64 CPUs, one thread to a core, and 512 GiB.
        (Limit("MaxTRESPU", "cpu", 63), {"exclusive": True}, "QOSMaxCpuPerUserLimit"),
        (Limit("MaxTRESPU", "cpu", 64), {"exclusive": True}, ""),
        (Limit("MaxTRESPU", "node", 2, 2), {"exclusive": True}, "QOSMaxNodePerUserLimit"),
        (Limit("MaxTRESPU", "mem", 500_000), {"all_memory": True}, "QOSMaxMemoryPerUser"),
    ],
)
def test_what_slurm_adds_counts(limit: Limit, fields: dict[str, bool], word: str) -> None:
    assert held_by(site(qos(limit)), task(1, **fields)) == word


def test_cpus_are_counted_by_whole_cores() -> None:
    shot = snapshot(site(qos(Limit("MaxTRESPU", "cpu", 3))), [job(1)])
    room = world.inventory()
    threads = {n: replace(node, threads_per_core=4) for n, node in room.nodes.items()}
    room = replace(room, nodes=threads)
    within = within_limits(shot, (task(1),), (), room, lambda _: True)
    assert [str(why).split(":")[0] for why in within.held.values()] == ["QOSMaxCpuPerUserLimit"]


@pytest.mark.parametrize(
    ("association", "word"),
    [
        (replace(ANN, limits=(Limit("MaxJobs", "", 1, 1),)), "AssocMaxJobsLimit"),
        (replace(VISION, limits=(Limit("MaxJobs", "", 1, 1),)), ""),  # handed down, or not his
        (replace(ANN, limits=(Limit("GrpTRES", "gres/gpu", 2, 2),)), "AssocGrpGRES"),
        (replace(VISION, limits=(Limit("GrpTRES", "cpu", 2, 1),)), "AssocGrpCpuLimit"),
        (replace(RESEARCH, limits=(Limit("GrpJobs", "", 9, 9),)), "AssocGrpJobsLimit"),
        (replace(RESEARCH, limits=(Limit("GrpTRESMins", "gres/gpu", 9, 9),)),
         "AssocGrpGRESMinutes"),
    ],
    ids=str,
)  # fmt: skip
def test_the_limits_of_the_user_and_of_all_accounts_above_hold(
    association: Association, word: str
) -> None:
    assert held_by(site(association)) == word


def test_a_limit_of_the_qos_hides_the_same_one_of_the_account() -> None:
    account = replace(VISION, limits=(Limit("GrpTRES", "gres/gpu", 2, 2),))
    assert not held_by(site(qos(Limit("GrpTRES", "gres/gpu", 8, 2)), account))
    assert held_by(site(qos(Limit("GrpTRES", "cpu", 8, 2)), account)) == "AssocGrpGRES"
    few = replace(ANN, limits=(Limit("MaxJobs", "", 1, 1),))
    assert not held_by(site(qos(Limit("MaxJobsPU", "", 3, 1)), few))


def test_the_partitions_qos_comes_before_the_jobs_unless_that_says_otherwise() -> None:
    job_at = Limit("MaxTRESPU", "gres/gpu", 4, 4)
    pool = qos(Limit("MaxTRESPU", "gres/gpu", 8, 4), name="pool")
    assert held_by(site(qos(job_at))) == "QOSMaxGRESPerUser"
    assert not held_by(site(qos(job_at), pool), train_nv="pool")
    assert held_by(site(qos(job_at, over=True), pool), train_nv="pool")


def test_whoever_has_no_job_in_a_qos_yet_has_its_limit_all_the_same() -> None:
    stranger = Qos("normal", each_user=(replace(PER_USER, most=0),))
    assert held_by(site(stranger)) == "QOSMaxGRESPerUser"


def test_an_association_for_the_partition_alone_comes_first() -> None:
    own = Association("vision", "ann", NV, limits=(Limit("MaxJobs", "", 1, 1),))
    limits = SiteLimits((own, ANN, VISION))
    assert held_by(limits) == "AssocMaxJobsLimit"
    allowed, _ = see(limits, task(1, pools=(NV, AMD), types=frozenset({"a100", "mi300x"})))
    assert [t.pools for t in allowed] == [(AMD,)]
    assert [sorted(t.types) for t in allowed] == [["mi300x"]]


def test_a_released_job_counts_until_slurm_counts_it() -> None:
    limits = site(qos(Limit("MaxTRESPU", "gres/gpu", 4, 2)))
    where = Placement("9", NV, ("nv1",), ((0, 1),), ("a100",), 80)
    released = job(9, partition=NV)
    pin = Pin(task(9, devices=2), where, since=0.0)

    def held(pin: Pin, released: Job, devices: int = 1, **fields: int) -> bool:
        waiting = task(1, devices, **fields)
        return bool(see(limits, waiting, pins=[pin], jobs=[released])[1])

    assert held(pin, released)
    assert not held(pin, replace(released, state="RUNNING"))
    ahead = replace(pin, start=99.0)
    assert not held(ahead, released), "what is smaller goes before, as in plain Slurm"
    assert held(ahead, released, devices=2), "it would take what the other one waits for"
    assert not held(ahead, released, devices=2, priority=1)
    assert not held(ahead, released, devices=2, minutes=1), "it ends before that"
    assert held(ahead, released, devices=2, minutes=2)


def test_a_released_job_that_starts_while_we_read_counts_once() -> None:
    where = Placement("9", NV, ("nv1",), ((0, 1),), ("a100",), 80)
    pin, released = Pin(task(9, devices=2), where, since=0.0), job(9, partition=NV)
    for running, used, started in ((0, 0, False), (1, 2, True)):
        ann = replace(ANN, running=running)
        limits = site(qos(Limit("MaxTRESPU", "gres/gpu", 3, used)), ann)
        _, held = see(limits, task(1), task(2, devices=2), pins=[pin], jobs=[released])
        assert set(held) == {"2"}, f"started: {started}"
        runs = job(8, state="RUNNING")
        _, held = see(limits, task(1), pins=[pin], jobs=[released, runs])
        assert set(held) == ({"1"} if started else set()), "another one runs"


def test_a_pool_where_nothing_is_left_is_none_for_the_task() -> None:
    anywhere = replace(task(1), pools=(NV, AMD), types=frozenset({"a100", "mi300x"}))
    full = qos(Limit("GrpTRES", "gres/gpu", 2, 1), name="pool")
    allowed, held = see(site(full), anywhere, replace(anywhere, key="2", job_id=2), train_nv="pool")
    assert not held
    # The first may take what is left there, so the second has to go elsewhere.
    assert [t.pools for t in allowed] == [(NV, AMD), (AMD,)]
    assert [sorted(t.types) for t in allowed] == [["a100", "mi300x"], ["mi300x"]]


def test_the_plan_gives_out_no_more_than_what_is_left() -> None:
    limits = site(qos(Limit("MaxTRESPU", "gres/gpu", 4, 1), Limit("MaxTRESPU", "cpu", 99, 1)))
    others = [job(n, user="bob", uid=1001) for n in (4, 5)]
    tasks, held = see(limits, *(task(n, devices=2 - n % 2) for n in range(1, 6)), jobs=others)
    assert not held
    made = plan(world.inventory(), tasks, world.policy(), greedy)
    assert [p.key for p in made.placements] == ["1", "2", "4", "5"]
    why = made.waiting["3"]
    assert str(why) == (
        "QOSMaxGRESPerUser: user ann in QOS normal may have 4 gres/gpu, of which 4 are taken;"
        " it asks for 1"
    )


@pytest.mark.parametrize(
    ("asks", "word"),
    [("matlab:2", ""), ("matlab:3", "Licenses"), ("abaqus,matlab:3", "Licenses"), ("matlab", ""),
     ("matlab=3", "Licenses"), ("abaqus;matlab:3", "Licenses"),
     ("abaqus:9", ""), ("matlab:3|abaqus", ""), ("matlab:x", ""), (",", ""), ("", "")],
)  # fmt: skip
def test_licences_are_a_limit_of_all(asks: str, word: str) -> None:
    limits = SiteLimits(licenses=(Limit("Licenses", "matlab", 5, 3),))
    _, held = see(limits, task(1), jobs=[job(1, licenses=asks)])
    assert [getattr(why, "word", "") for why in held.values()] == ([word] if word else [])


COURSE = ReservationRecord("course", 3600, 7200, licenses="matlab:2")


@pytest.mark.parametrize(
    ("record", "minutes", "free", "waits"),
    [
        (COURSE, 59, 3, False),  # it ends before that begins
        (COURSE, 60, 3, True),
        (COURSE, 61, 4, False),  # two are left to it
        (COURSE, None, 3, True),
        (replace(COURSE, start=-60), 1, 3, True),
        (replace(COURSE, start=-60, end=0), 1, 3, False),  # over
        (replace(COURSE, flags=frozenset({"TIME_FLOAT"})), 61, 3, False),
        (replace(COURSE, licenses="abaqus:5"), 61, 3, False),
    ],
)
def test_licences_of_a_reservation_are_taken_for_whoever_reaches_into_it(
    record: ReservationRecord, minutes: int | None, free: int, waits: bool
) -> None:
    limits = SiteLimits(licenses=(Limit("Licenses", "matlab", 5, 5 - free),))
    asks = job(1, licenses="matlab:2")
    shot = replace(snapshot(limits, [asks]), reservations=(record,))
    for inside in (False, True):
        allowed, held, *_ = within_limits(
            replace(shot, jobs=(replace(asks, reservation="course" if inside else ""),)),
            (task(1, minutes=minutes),), (), world.inventory(), lambda _: True,
        )  # fmt: skip
        assert len(allowed) + len(held) == 1
        assert bool(held) == (waits and not inside)
        assert not held or "jobs outside course may have 3 licences of matlab" in str(held["1"])


def test_licences_that_pins_inside_take_are_gone_for_those_outside() -> None:
    limits = SiteLimits(licenses=(Limit("Licenses", "matlab", 5, 0),))
    jobs = [job(1, licenses="matlab:2"), job(2, licenses="matlab:2", reservation="course")]
    shot = replace(snapshot(limits, jobs), reservations=(replace(COURSE, start=-60),))
    place = Placement("2", NV, ("nv1",), ((0,),), ("a100",), 80)
    for pins in ((), (Pin(task(2), place, 0.0),)):
        within = within_limits(shot, (task(1),), pins, world.inventory(), lambda _: True)
        assert bool(within.held) == bool(pins)


def test_two_tasks_do_not_share_a_licence() -> None:
    limits = SiteLimits(licenses=(Limit("Licenses", "matlab", 5, 3),))
    jobs = [job(n, licenses="matlab:2", user=f"user{n}") for n in (1, 2)]
    tasks, _ = see(limits, task(1), task(2), jobs=jobs)
    made = plan(world.inventory(), tasks, world.policy(), greedy)
    assert [p.key for p in made.placements] == ["1"]
    assert str(made.waiting["2"]) == (
        "Licenses: all jobs may have 5 licences of matlab, of which 5 are taken; it asks for 2"
    )


def test_a_site_without_limits_changes_nothing() -> None:
    tasks = (task(1), task(2))
    assert see(SiteLimits(), *tasks) == (tasks, {})
    assert see(site(), *tasks) == (tasks, {})


def test_who_is_behind_all_that_a_limit_leaves_takes_nobodys_place_in_the_plan() -> None:
    """Of a user's many tasks that are within his limit alone, twice as many are planned as fit."""
    limits = site(qos(Limit("MaxTRESPU", "gres/gpu", 4, 2)))
    mine = [task(n) for n in range(1, 60)]
    others = [task(n) for n in range(60, 70)]
    jobs = [job(t.job_id, user="bob", uid=1001, qos="high") for t in others]
    allowed, held = see(limits, *mine, *others, jobs=jobs)
    assert [t.key for t in allowed] == ["1", "2", "3", "4", *(t.key for t in others)]
    assert str(held["5"]) == (
        "QOSMaxGRESPerUser: user ann in QOS normal may have 4 gres/gpu, of which 4 are taken;"
        " it asks for 1"
    )


def test_who_could_not_start_anyway_keeps_nobody_of_the_same_limit_waiting() -> None:
    limits = site(qos(Limit("MaxTRESPU", "gres/gpu", 4, 3)))
    tasks = tuple(task(n) for n in range(1, 9))
    shot = snapshot(limits, [job(t.job_id) for t in tasks])
    within = within_limits(shot, tasks, (), world.inventory(), lambda t: t.job_id > 6)
    assert len(within.tasks) == len(tasks)
