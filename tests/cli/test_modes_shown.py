"""Each screen says which pools are not in plan, and what would be done there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.cli.health import HealthCode, verdict_on
from slurm_het.cli.hetd_status import HetdStatus, InShadow, LastCycle
from slurm_het.cli.would import with_would
from slurm_het.settings import Paths
from tests.support.squeue_cluster import NOW, view, waiting

POOLS = ("train-nv", "train-amd", "infer-nv", "infer-amd", "infer-npu")
SHADOW = HetdStatus(
    "open", modes=dict.fromkeys(POOLS, "shadow"), shadow=InShadow(cycle=LastCycle(NOW - 3.0, 0.1))
)
MIXED = replace(SHADOW, modes={**SHADOW.modes, "train-nv": "plan", "train-amd": "advise"})


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (HetdStatus("closed", modes=dict.fromkeys(POOLS, "plan")), ""),
        (SHADOW, "shadow, all pools: slurm-het changes nothing"),
        (
            MIXED,
            "shadow: infer-nv, infer-amd, infer-npu; advise: train-amd (slurm-het changes nothing"
            " there)",
        ),
    ],
)
def test_the_note_names_the_pools(status: HetdStatus, note: str) -> None:
    assert status.mode_note == note
    assert note in status.note("accel", "UP")


def test_shadow_is_a_state_of_its_own_and_an_open_gate_no_trouble() -> None:
    made = verdict_on(SHADOW, "UP", Paths(), NOW)
    assert made.health is HealthCode.SHADOW
    assert made.words.startswith("shadow, all pools: slurm-het changes nothing; gate open")
    assert made.words.endswith("last decisions 3 s ago")
    assert SHADOW.note("accel", "UP") == SHADOW.mode_note
    late = replace(SHADOW, shadow=InShadow(cycle=LastCycle(NOW - 600.0, 0.1)))
    assert verdict_on(late, "UP", Paths(), NOW).health is HealthCode.TROUBLED


def test_what_would_be_done_stands_beside_slurms_reason() -> None:
    jobs = (
        waiting(1, "gpu:1", partition="train-nv", reason="Resources"),
        waiting(2, "gpu:1", partition="train-nv", reason="Priority"),
        waiting(5, "gpu:1", partition="train-nv", array_job_id=5, array_tasks="0-9"),
    )
    would = {"1": "shadow: would run on nv1 in train-nv", "7": "shadow: would wait"}
    would |= {f"5_{n}": "shadow: would run on nv2 in train-nv" for n in range(3)}
    reasons = {row.job.id: row.reason for row in with_would(view(*jobs), would).rows}
    assert reasons[1] == "Resources; shadow: would run on nv1 in train-nv"
    assert reasons[2] == "Priority"
    assert reasons[5].endswith("shadow: would run on nv2 in train-nv (3 of its tasks)")
