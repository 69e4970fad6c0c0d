"""slurm-het check: what is wrong with a configuration for a Slurm, in words."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.cli.check import findings
from slurm_het.settings import Config
from tests.support.world import policy, snapshot


def test_an_intake_without_a_time_limit_before_pools_with_one() -> None:
    shot = snapshot()
    plain = tuple(replace(p, default_minutes=None, max_minutes=None) for p in shot.partitions)
    limited = tuple(replace(p, max_minutes=60) if p.name == "train-nv" else p for p in plain)
    for partitions, wrong in ((shot.partitions, 0), (plain, 0), (limited, 1)):
        errors, _ = findings(Config(policy()), replace(shot, partitions=partitions))
        assert len(errors) == wrong
    assert "the intake accel has neither DefaultTime nor MaxTime" in errors[0]
    assert "train-nv" in errors[0]


def test_devices_of_several_names_on_a_node() -> None:
    shot = snapshot()
    mixed = tuple(
        replace(n, gres="gpu:a100:4,npu:910b:4") if n.name == "nv1" else n for n in shot.nodes
    )
    errors, _ = findings(Config(policy()), replace(shot, nodes=mixed))
    assert any("node nv1 has devices of several names (gpu, npu)" in text for text in errors)
