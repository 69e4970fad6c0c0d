"""Jobs that take more of a shared device than their share: Slurm has no fence between sharers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from slurm_het.core.cluster.uses import read_gres
from slurm_het.core.measured import MIB
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist

SLACK = 1.1
"""A driver's own part of what a process has is no fault of the process: so much more is none, nor
is one GiB."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a user's processes, as those of one job of Slurm's, had of a device when that was
    `taken` (seconds that never go back)."""

    node: str
    index: int
    job: int
    uid: int
    used_mib: int
    taken: float


@dataclass(frozen=True, slots=True)
class Overrun:
    """A job that has more of a device than the share that Slurm gave it."""

    job: Job
    use: Use
    share_gib: int

    @property
    def text(self) -> str:
        """What it has, in words."""
        has = f"{self.use.used_mib / MIB:.1f} GiB of {self.use.node}:{self.use.index}"
        return f"has {has}, and its share is {self.share_gib}"


def overruns(uses: Iterable[Use], jobs: Mapping[int, Job], policy: Policy) -> Iterator[Overrun]:
    """Those that overrun, but for those in pools that are left alone; `jobs` by id. What a process
    says of itself does not count: it is of a job only if it is of the job's user."""
    for use in uses:
        job = jobs.get(use.job)
        if job is None or job.uid != use.uid or not job.holds_nodes:
            continue
        if policy.leaves_alone(job.partition):
            continue
        share = _shares(job, policy).get((use.node, use.index), 0)
        if share and use.used_mib > max(SLACK * share, share + 1) * MIB:
            yield Overrun(job, use, share)


def _shares(job: Job, policy: Policy) -> dict[tuple[str, int], int]:
    """The GiB that a job was given of each device of which it has a share, by node and index."""
    shares: dict[tuple[str, int], int] = {}
    for name, text in zip(hostlist.expand_readable(job.nodes), job.gres_detail, strict=False):
        for item in read_gres(text, job.key, []):
            if not policy.is_share(item.name):
                continue
            if item.shares is not None:
                shares |= {(name, i): taken for i, (taken, _) in enumerate(item.shares) if taken}
            elif item.indexes and len(item.indexes) == 1:
                shares[name, item.indexes[0]] = item.count
    return shares
