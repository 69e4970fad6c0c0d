"""How much memory of a device a user's program needs, learned from its runs (`memory=auto`)."""

from __future__ import annotations

import math

from slurm_het.core.measured import MIB
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.errors import GresError

LEAST_RUNS = 3
"""From fewer runs nothing is learned: the program gets a whole device."""
MOST_RUNS = 32
"""So many runs are remembered, the newest ones: a program changes."""
QUANTILE = 0.99
HEADROOM = 1.15
"""So much more is asked for: what it needs is read every few seconds, and grows between."""
NEARLY = 0.9
"""Who failed and had so much of his share most likely failed for want of more."""
RAISE = 1.5
"""So many times what it had is such a job given then."""


def with_run(peaks: tuple[int, ...], mib: int) -> tuple[int, ...]:
    """The runs that are remembered after one more, which took so much at its peak."""
    return (*peaks, mib)[-MOST_RUNS:]


def size_of_runs(peaks: tuple[int, ...]) -> int:
    """The GiB that the next run is given; 0 where too few runs are known."""
    if len(peaks) < LEAST_RUNS:
        return 0
    ordered = sorted(peaks)
    peak = ordered[math.ceil(QUANTILE * len(ordered)) - 1]
    return max(1, math.ceil(peak * HEADROOM / MIB))


def died_of(job: Job, peak_mib: int, policy: Policy) -> int:
    """The GiB of the share that a job failed of, for it is too small; 0: it did not."""
    if job.state != "FAILED" or not job.nodes or not peak_mib:
        return 0
    try:
        items = gres.parse(job.tres_per_node)
    except GresError:
        return 0
    if len(items) != 1 or not policy.is_share(items[0].name):
        return 0
    share = items[0].count
    return share if peak_mib >= NEARLY * share * MIB else 0


def raised(share: int) -> int:
    """The GiB that a program is given after it died of a share."""
    return math.ceil(RAISE * share)


def wanted_mib(share: int) -> int:
    """What counts as the peak of a run that died of its share: from it comes the raised one."""
    return int(raised(share) * MIB / HEADROOM)
