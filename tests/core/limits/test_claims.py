"""What a limit counts, as its sentence says it: after one and after more."""

from __future__ import annotations

import pytest

from slurm_het.core.limits.claims import what
from slurm_het.core.reasons import AtLimit
from slurm_het.core.site_limits import Limit


@pytest.mark.parametrize(
    ("word", "tres", "most", "counts"),
    [
        ("Licenses", "solver", 1, "1 licence of solver"),
        ("Licenses", "solver", 2, "2 licences of solver"),
        ("Licenses", "solver", 0, "0 licences of solver"),
        ("MaxJobsPU", "", 1, "1 running job"),
        ("GrpJobs", "", 4, "4 running jobs"),
        ("GrpWall", "", 1, "1 minute"),
        ("MaxWallPJ", "", 60, "60 minutes"),
        ("MaxTRESPU", "cpu", 1, "1 CPU"),
        ("GrpTRES", "cpu", 8, "8 CPUs"),
        ("GrpTRES", "node", 1, "1 node"),
        ("GrpTRES", "node", 3, "3 nodes"),
        ("GrpTRES", "mem", 1, "1 MiB of host memory"),
        ("GrpTRES", "mem", 4096, "4096 MiB of host memory"),
        ("MaxTRESPU", "gres/gpu", 1, "1 gres/gpu"),
        ("MaxTRESPU", "gres/gpu:a100", 4, "4 gres/gpu:a100"),
        ("GrpTRESMins", "cpu", 1, "1 CPU-minute"),
        ("GrpTRESMins", "cpu", 90, "90 CPU-minutes"),
        ("GrpTRESRunMins", "node", 90, "90 node-minutes"),
        ("MaxTRESMinsPJ", "mem", 1, "1 MiB-minute of host memory"),
        ("MaxTRESMinsPJ", "mem", 90, "90 MiB-minutes of host memory"),
        ("GrpTRESMins", "gres/gpu", 1, "1 minute of gres/gpu"),
        ("GrpTRESMins", "gres/gpu", 60, "60 minutes of gres/gpu"),
    ],
)
def test_a_unit_is_in_the_singular_after_one_alone(
    word: str, tres: str, most: int, counts: str
) -> None:
    assert f"{most} {what(Limit(word, tres, most))}" == counts


@pytest.mark.parametrize(
    ("used", "taken"),
    [(0, ""), (1, ", of which 1 is taken"), (2, ", of which 2 are taken")],
)
def test_so_is_what_is_taken(used: int, taken: str) -> None:
    reason = AtLimit("Licenses", "all jobs", what(Limit("Licenses", "solver", 2)), 2, used, 1)
    sentence = f"Licenses: all jobs may have 2 licences of solver{taken}; it asks for 1"
    assert str(reason) == sentence
