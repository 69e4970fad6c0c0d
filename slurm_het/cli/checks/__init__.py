"""The checks of `slurm-het check`: each takes what was read (`site.py`) and gives findings."""

from __future__ import annotations

from slurm_het.cli.checks import devices, hook, nodes, partitions, slurm_conf
from slurm_het.cli.checks.site import Check, Finding, Installation

CHECKS: tuple[Check, ...] = (
    *partitions.CHECKS, *nodes.CHECKS, *devices.CHECKS, *slurm_conf.CHECKS, *hook.CHECKS,
)  # fmt: skip


def findings(site: Installation) -> list[Finding]:
    """All that is found, what is wrong first."""
    found = [finding for check in CHECKS for finding in check(site)]
    return sorted(found, key=lambda finding: finding.remark)
