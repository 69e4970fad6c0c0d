"""The environment in which Slurm's programs are asked."""

from __future__ import annotations

from pathlib import Path

from slurm_het.settings import SlurmSettings
from slurm_het.slurm.environment import environment


def test_what_a_user_set_for_his_own_squeue_changes_nothing() -> None:
    ours = {"PATH": "/bin", "SQUEUE_STATES": "RUNNING", "SQUEUE_FEDERATION": "1",
            "SLURM_CLUSTERS": "other", "SLURM_CONF": "/a"}  # fmt: skip
    asked = environment(ours, SlurmSettings())
    assert asked["SQUEUE_LOCAL"] == asked["SCONTROL_LOCAL"] == "1"
    assert not asked.keys() & {"SQUEUE_STATES", "SQUEUE_FEDERATION", "SLURM_CLUSTERS"}
    assert (asked["PATH"], asked["SLURM_CONF"]) == ("/bin", "/a")
    assert environment(ours, SlurmSettings(conf=Path("/b")))["SLURM_CONF"] == "/b"
