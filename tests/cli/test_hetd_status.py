"""What het-squeue's header says of the gate and of hetd's troubles."""

from __future__ import annotations

import pytest

from slurm_het.cli.hetd_status import HetdStatus


@pytest.mark.parametrize(
    ("status", "slurm", "says"),
    [
        (HetdStatus("closed"), "DOWN", ""),
        (HetdStatus("open"), "UP", "the gate is open (hetd says open): plain Slurm schedules"),
        (HetdStatus("recovering"), "DOWN", "hetd, which is recovering, plans nothing yet"),
        (HetdStatus("open"), "DOWN", "hetd, which is open, plans nothing yet"),
        (HetdStatus("recovering", leads=False), "DOWN", ""),
        (HetdStatus("closed", troubles=("the journal is off",)), "DOWN", "the journal is off"),
        (HetdStatus(silence="hetd is not answering"), "DOWN", "its jobs wait"),
    ],
)
def test_the_operator_reads_what_is_not_as_it_should_be(
    status: HetdStatus, slurm: str, says: str
) -> None:
    note = status.note("accel", slurm)
    assert says in note
    assert bool(note) == bool(says)
