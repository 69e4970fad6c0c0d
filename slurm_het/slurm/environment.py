"""What Slurm's programs are given from outside, and what they keep from whom."""

from __future__ import annotations

from collections.abc import Mapping

from slurm_het.settings import SlurmSettings


def environment(ours: Mapping[str, str], settings: SlurmSettings) -> dict[str, str]:
    """The environment of Slurm's programs: times in epoch seconds, the tasks of an array in full,
    this cluster alone, in a federation too. What whoever started us has set for his own squeue (a
    filter, a format, another cluster) is not what is asked."""
    own = ("SQUEUE_", "SCONTROL_", "SACCTMGR_")
    kept = {k: v for k, v in ours.items() if not k.startswith(own) and k != "SLURM_CLUSTERS"}
    kept |= {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    kept |= {"SQUEUE_LOCAL": "1", "SCONTROL_LOCAL": "1"}
    return kept | ({"SLURM_CONF": str(settings.conf)} if settings.conf else {})


def private(conf: Mapping[str, str]) -> frozenset[str]:
    """What Slurm's configuration hides from all but admins, of what is not their own."""
    return frozenset(conf.get("PrivateData", "none").split(",")) - {"none"}
