"""Which client hetd has, by `slurm.backend`. Tools, which end at once, have Slurm's programs."""

from __future__ import annotations

import os

from slurm_het.settings import SlurmSettings
from slurm_het.slurm.api.source import ApiSource
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.environment import environment


def client_of(settings: SlurmSettings) -> CliSlurm:
    """The client on Slurm's programs. With the backend pyslurm that tells it the records of jobs,
    as far as it tells them right."""
    slurm = CliSlurm(settings)
    if settings.backend == "pyslurm":
        slurm.jobs.source = ApiSource(environment(os.environ, settings))
    return slurm
