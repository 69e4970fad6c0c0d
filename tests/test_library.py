"""The planner as a library: the lines in ARCHITECTURE, and what is said of what it leaves out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_het.core.model import Partition
from slurm_het.library import Limits, propose
from tests.support.world import gated, policy, snapshot

ARCHITECTURE = Path(__file__).resolve().parents[1] / "ARCHITECTURE.md"


def test_the_lines_in_architecture_run(monkeypatch: Any) -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    (block,) = re.findall(r"## The planner as a library\n\n((?:    .*\n|\n)+)", text)
    lines = [line[4:] for line in block.splitlines()]
    monkeypatch.chdir(ARCHITECTURE.parent)
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102  # our own page
    proposal = names["proposal"]
    assert [p.nodes for p in proposal.placements] == [("n1",)]
    assert proposal.placements[0].terms["scenario_fit"] > 0
    assert proposal.waiting
    assert proposal.ignored
    assert len([line for line in lines if line and not line.startswith("#")]) <= 16


def test_what_is_not_planned_is_said() -> None:
    shot = snapshot(gated(1), gated(2, partition="debug"), gated(3, tres_per_node="gpu:9"))
    made = propose(shot, policy())
    assert [p.key for p in made.placements] == ["1"]
    assert made.ignored == {"2": "is in the partition debug, not in accel"}
    assert list(made.waiting) == ["3"]


def test_missing_partitions_are_said() -> None:
    shot = replace(snapshot(gated(1)), partitions=(Partition("accel"), Partition("train-amd")))
    made = propose(shot, policy())
    assert "the snapshot has no partition train-nv, which the policy names" in made.warnings
    assert any(w.startswith("node nv1 is in the partition train-nv") for w in made.warnings)
    assert "Slurm has no such partition" in made.waiting["1"]


def test_the_limits_are_the_callers() -> None:
    shot = snapshot(*(gated(n) for n in range(1, 5)))
    made = propose(shot, policy(), limits=Limits(window_tasks=2))
    assert len(made.placements) == 2
    assert len(made.waiting) == 2
