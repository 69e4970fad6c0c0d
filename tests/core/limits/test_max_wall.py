"""A time limit that a user left open is no longer than MaxWall: read, checked and sent alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admitted, admit_message, admit_record
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools
from slurm_het.core.limits.within import within_limits
from slurm_het.core.model import Job, Partition, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, decide, observe, prepare
from slurm_het.core.planner.updates import release_fields
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import AtLimit
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits
from slurm_het.core.worth.forecast import Forecast
from tests.support import world

DAY = 1440
HELD = "held"
LAB = Association("lab", parent="root")
ANN = Association("lab", "ann")
NV = "train-nv"


def wall(days: int) -> tuple[Limit, ...]:
    return (Limit("MaxWallPJ", "", days * DAY),)


def of_qos(days: int, name: str = "normal", **fields: Any) -> Qos:
    return Qos(name, limits=wall(days), **fields)


def site(*records: Qos | Association) -> SiteLimits:
    known = {(a.account, a.user, a.partition): a for a in (LAB, ANN)}
    known |= {(a.account, a.user, a.partition): a for a in records if isinstance(a, Association)}
    return SiteLimits(tuple(known.values()), tuple(q for q in records if isinstance(q, Qos)))


def submitted(sent: dict[str, str] | None = None, **record: Any) -> Job:
    message = {"tres_per_node": "gpu:a100:1", "user_name": "ann"} | (sent or {})
    made = admit_message(message, world.policy(), world.inventory())
    assert isinstance(made, Admitted)
    base: dict[str, Any] = {"account": "lab", "qos": "normal", "time_limit_minutes": 60}
    base |= {"tres_per_node": "gpu:a100:1", "admin_comment": made.fields["admin_comment"]}
    return world.gated(7, **(base | record))


def cluster(job: Job, limits: SiteLimits, **partitions: dict[str, Any]) -> Snapshot:
    """The intake gives an hour, the pools a week, unless the fields of one say otherwise."""
    shot = world.snapshot(job)

    def made(one: Partition) -> Partition:
        intake = one.name == world.policy().intake_partition
        base: dict[str, Any] = {"max_minutes": 7 * DAY, "default_minutes": 60 if intake else None}
        return replace(one, **(base | partitions.get(one.name.replace("-", "_"), {})))

    return replace(shot, partitions=tuple(map(made, shot.partitions)), limits=limits)


def read(shot: Snapshot, readings: Readings | None = None) -> TaskPools:
    inventory = take_inventory(shot, world.policy())
    return fill_task_pools(shot, inventory, world.policy(), readings=readings)


def released(shot: Snapshot) -> tuple[str, object]:
    """Where the job is released to, and with which time limit: as a cycle of hetd does it."""
    memory = Memory(Pins(45, 60))
    prepared = prepare(observe(shot, world.policy(), memory, 0.0), Limits(), memory, 0.0)
    placements = decide(prepared, Forecast(), greedy).placements
    if not placements:
        (why,) = prepared.held.values()
        assert isinstance(why, AtLimit)
        return HELD, why.word
    (job,), (task,) = shot.jobs, prepared.queue.tasks
    fields = release_fields(placements[0], job, limits=task.time_limits)
    return placements[0].partition, fields.get("TimeLimit")


@pytest.mark.parametrize(
    ("limits", "minutes"),
    [
        (site(), 7 * DAY),
        (site(of_qos(2)), 2 * DAY),
        (site(replace(ANN, limits=wall(2))), 2 * DAY),
        # Slurm hands the account's down to its users, and shows it there.
        (site(replace(LAB, limits=wall(2)), replace(ANN, limits=wall(2))), 2 * DAY),
        (site(of_qos(3), replace(ANN, limits=wall(2))), 3 * DAY),  # the QOS hides the account's
        (site(of_qos(9)), 7 * DAY),
        (site(of_qos(2, "other")), 7 * DAY),
        (site(replace(ANN, partition=NV), replace(ANN, limits=wall(2))), 7 * DAY),
        (site(replace(ANN, partition=NV, limits=wall(3)), replace(ANN, limits=wall(2))), 3 * DAY),
    ],
    ids=["none", "QOS", "user", "account", "both", "more", "other", "hidden", "partition"],
)
def test_an_open_time_is_the_pools_and_no_more_than_max_wall(
    limits: SiteLimits, minutes: int
) -> None:
    shot = cluster(submitted(), limits)
    (task,) = read(shot).tasks
    assert task.minutes == dict(task.time_limits)[NV] == minutes
    assert released(shot) == (NV, str(minutes))


@pytest.mark.parametrize(
    ("default", "most", "minutes"), [(None, None, 2880), (60, 7 * DAY, 60), (4 * DAY, None, 2880)]
)
def test_a_pools_default_is_capped_too(default: int | None, most: int | None, minutes: int) -> None:
    fields = {"max_minutes": most, "default_minutes": default}
    job = submitted(time_limit_minutes=30)
    shot = cluster(job, site(of_qos(2)), train_nv=fields, accel={"default_minutes": 30})
    assert released(shot) == (NV, str(minutes))


def test_the_partitions_qos_bears_where_the_job_goes() -> None:
    limits = site(of_qos(3), of_qos(2, "pool"))
    assert released(cluster(submitted(), limits, train_nv={"qos": "pool"})) == (NV, str(2 * DAY))
    first = replace(of_qos(3), over_partition=True)
    over = site(first, of_qos(2, "pool"))
    assert released(cluster(submitted(), over, train_nv={"qos": "pool"})) == (NV, str(3 * DAY))


def test_a_pool_with_a_max_wall_of_its_own_stays_open_beside_one_without() -> None:
    """The job is planned with the longest of its pools' limits, and checked with each one's own."""
    asks = {"tres_per_node": "gpu:1"}
    job = submitted(asks | {"comment": "het:vendors=any"}, **asks)
    shot = cluster(job, site(of_qos(2, "pool")), train_nv={"qos": "pool"})
    (task,) = read(shot).tasks
    assert len(task.pools) > 1
    assert task.minutes == 7 * DAY
    assert dict(task.time_limits)[NV] == 2 * DAY
    within = within_limits(shot, (task,), (), world.inventory(), lambda _: True)
    assert [allowed.pools for allowed in within.tasks] == [task.pools]


@pytest.mark.parametrize("given", [2 * DAY, None])
def test_what_slurm_gave_at_submit_for_max_wall_is_nobodys_wish(given: int | None) -> None:
    """The intake has no DefaultTime: Slurm writes MaxWall, be it longer than MaxTime."""
    intake, pool = {"default_minutes": None}, {"max_minutes": DAY, "default_minutes": 60}
    for limits in (site(of_qos(2)), site(replace(ANN, limits=wall(2)))):
        job = submitted(time_limit_minutes=given)
        shot = cluster(job, limits, accel=intake, train_nv=pool)
        assert released(shot) == (NV, "60")
        most = cluster(job, limits, accel=intake, train_nv={"max_minutes": DAY})
        assert released(most) == (NV, str(DAY))


def test_the_same_for_a_job_that_came_past_the_hook() -> None:
    job = replace(submitted(), time_limit_minutes=2 * DAY, admin_comment="")
    made = admit_record(job, "", world.policy(), world.inventory())
    assert isinstance(made, Admitted)
    job = replace(job, admin_comment=made.fields["admin_comment"])
    pools = {p.partition.replace("-", "_"): {"max_minutes": DAY} for p in world.policy().pools}
    shot = cluster(job, site(of_qos(2)), accel={"default_minutes": None}, **pools)
    assert released(shot) == (NV, str(DAY))


GRP_WALL = site(replace(LAB, limits=(Limit("GrpWall", "", 30 * DAY),)))
MAX_MINS = site(Qos("normal", limits=(Limit("MaxTRESMinsPJ", "gres/gpu", 30 * DAY),)))
GRP_MINS = site(Qos("normal", limits=(Limit("GrpTRESMins", "gres/gpu", 30 * DAY),)))


def short_pools(**fields: int) -> dict[str, dict[str, Any]]:
    """An intake without DefaultTime, and pools with MaxTime of a day, or with these fields."""
    pools = {p.partition.replace("-", "_") for p in world.policy().pools}
    made: dict[str, Any] = {name: {"max_minutes": DAY, **fields} for name in pools}
    return {**made, "accel": {"default_minutes": None, "max_minutes": None}}


@pytest.mark.parametrize("limits", [GRP_WALL, MAX_MINS, GRP_MINS], ids=["wall", "max", "group"])
def test_what_slurm_gave_for_other_limits_keeps_no_job_from_all_its_pools(
    limits: SiteLimits,
) -> None:
    """The intake has no DefaultTime: Slurm writes the limit, be it longer than MaxTime."""
    job = submitted(time_limit_minutes=30 * DAY)
    assert released(cluster(job, limits, **short_pools(default_minutes=60))) == (NV, "60")
    assert released(cluster(job, limits, **short_pools())) == (NV, str(DAY))


def test_a_time_that_an_update_gave_stays_where_one_pool_takes_it() -> None:
    job = submitted(time_limit_minutes=DAY - 1)
    assert released(cluster(job, GRP_WALL, **short_pools(default_minutes=60))) == (NV, None)
    asks = {"tres_per_node": "gpu:1"}
    job = submitted(asks | {"comment": "het:vendors=any"}, time_limit_minutes=3 * DAY, **asks)
    longer = short_pools(default_minutes=60) | {"train_nv": {"max_minutes": 4 * DAY}}
    assert released(cluster(job, GRP_WALL, **longer)) == (NV, None)


def test_a_time_that_an_update_gave_stays_where_its_qos_lifts_max_time() -> None:
    shot = cluster(submitted(time_limit_minutes=3 * DAY), site(), **short_pools(default_minutes=60))
    lifting = replace(shot, qos_flags={"normal": frozenset({"PartitionTimeLimit"})})
    assert released(lifting) == (NV, None)


def test_a_time_that_its_user_gave_stays_though_no_pool_takes_it() -> None:
    job = submitted({"time_limit": str(30 * DAY)}, time_limit_minutes=30 * DAY)
    assert not read(cluster(job, GRP_WALL, **short_pools(default_minutes=60))).tasks


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (30, (NV, None)),
        (2 * DAY, (NV, None)),
        (3 * DAY, (HELD, "QOSMaxWallDurationPerJobLimit")),
    ],
)
def test_a_time_that_its_user_gave_stays(given: int, outcome: tuple[str, str | None]) -> None:
    job = submitted({"time_limit": str(given)}, time_limit_minutes=given)
    shot = cluster(job, site(of_qos(2)))
    (task,) = read(shot).tasks
    assert (task.minutes, task.time_limits) == (given, ())
    assert released(shot) == outcome


@pytest.mark.parametrize(
    ("least", "outcome"),
    [(60, (NV, str(2 * DAY))), (3 * DAY, (HELD, "QOSMaxWallDurationPerJobLimit"))],
)
def test_who_is_content_with_less_gets_no_more_than_max_wall(
    least: int, outcome: tuple[str, str]
) -> None:
    sent = {"time_limit": str(9 * DAY), "time_min": str(least)}
    job = submitted(sent, time_limit_minutes=9 * DAY)
    assert released(cluster(job, site(of_qos(2)))) == outcome


def test_who_may_run_no_minute_at_all_is_held_back() -> None:
    """TimeLimit=0 would be no limit."""
    word = "QOSMaxWallDurationPerJobLimit"
    assert released(cluster(submitted(), site(of_qos(0)))) == (HELD, word)


def test_a_job_that_is_handed_over_gets_no_more_either() -> None:
    job = submitted(req_nodes="nv1")
    (made,) = read(cluster(job, site(of_qos(2)))).handovers.values()
    assert made.time_limits == (2 * DAY,)
    here = cluster(job, site(of_qos(2, "pool")), train_nv={"qos": "pool"})
    (made,) = read(here).handovers.values()
    assert made.time_limits == (7 * DAY,)
    assert NV not in made.partitions, "there it would run longer than MaxWall"


def test_who_was_read_before_max_wall_changed_is_read_anew() -> None:
    readings, job = Readings(), submitted()
    for days in (2, 3):
        (task,) = read(cluster(job, site(of_qos(days))), readings).tasks
        assert task.minutes == days * DAY
