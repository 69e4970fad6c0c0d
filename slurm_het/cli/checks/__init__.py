"""The checks of `slurm-het check`: each takes what was read (`site.py`) and gives findings."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.cli.checks import devices, hook, host, nodes, partitions, slurm_conf
from slurm_het.cli.checks.site import Check, Finding, Installation

CHECKS: tuple[Check, ...] = (
    *partitions.CHECKS, *nodes.CHECKS, *devices.CHECKS, *slurm_conf.CHECKS, *hook.CHECKS,
    *host.CHECKS,
)  # fmt: skip


NOT_YET = frozenset(
    {
        hook.files, hook.not_called, host.closed_files, host.not_active, slurm_conf.plugin,
        slurm_conf.job_shrink,
    }
)  # fmt: skip
"""What is not wrong while no pool is in plan."""


def findings(site: Installation) -> list[Finding]:
    """All that is found, what is wrong first."""
    found = [
        replace(finding, remark=finding.remark or (check in NOT_YET and not site.settings.plans))
        for check in CHECKS
        for finding in check(site)
    ]
    return sorted(found, key=lambda finding: finding.remark)
