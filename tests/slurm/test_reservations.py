"""Reservations as `scontrol -o show reservation` printed them on each version."""

from __future__ import annotations

import pytest

from slurm_het.core.model import NodeRecord
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.slurm.reservations import parse_reservations

NODES = tuple(NodeRecord(f"nv{n}", "IDLE", cpus=64, threads_per_core=1) for n in (1, 2))
OLD = (
    "ReservationName=maint StartTime=1795874189 EndTime=1795874789 Duration=00:10:00 Nodes=nv[1-2]"
    " NodeCnt=2 CoreCnt=128 Features=(null) PartitionName=(null) Flags=MAINT,IGNORE_JOBS,SPEC_NODES"
    " TRES=cpu=128 Users=root,-ann Groups=(null) Accounts=(null) Licenses=(null) State=ACTIVE"
    " BurstBuffer=(null) Watts=n/a MaxStartDelay=(null)"
)
NEW = (
    "ReservationName=course StartTime=1795874465 EndTime=1795875065 Duration=00:10:00 Nodes=nv2"
    " NodeCnt=1 CoreCnt=4 Features=(null) PartitionName=(null) Flags=DAILY TRES=cpu=4"
    " AllowedPartitions=train-nv QOS=(null) Users=(null) Groups=staff Accounts=Phys,CHEM"
    " Licenses=foo:2 State=ACTIVE BurstBuffer=(null) MaxStartDelay=(null)"
    " Comment=a StartTime=7 Flags=MAGNETIC ReservationName=x"
)


def test_each_version_is_read() -> None:
    old, new = parse_reservations(f"{OLD}\n{NEW}\n", NODES)
    assert old == ReservationRecord(
        "maint",
        1795874189,
        1795874789,
        ("nv1", "nv2"),
        cores=128,
        flags=frozenset({"MAINT", "IGNORE_JOBS", "SPEC_NODES"}),
        users=frozenset({"root", "-ann"}),
    )
    assert new == ReservationRecord(
        "course",
        1795874465,
        1795875065,
        ("nv2",),
        partial=True,
        cores=4,
        flags=frozenset({"DAILY"}),
        groups=frozenset({"staff"}),
        accounts=frozenset({"phys", "chem"}),
        partitions=frozenset({"train-nv"}),
        licenses="foo:2",
    )


@pytest.mark.parametrize(
    "text",
    [
        "No reservations in the system\n",
        "",
        OLD.replace("1795874189", "now"),
        OLD.replace("1795874189", "1" * 400),
        "StartTime=1 EndTime=2",
        "ReservationName=" * 50,
    ],
)
def test_what_is_no_record_is_left_out(text: str) -> None:
    assert parse_reservations(text, NODES) == ()


def test_nodes_that_cannot_be_read_are_none() -> None:
    (record,) = parse_reservations(OLD.replace("nv[1-2]", "nv[1-"), NODES)
    assert record.nodes == ()
    assert not record.partial
