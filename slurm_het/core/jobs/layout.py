"""How a job's nodes are to lie: what the plan keeps of that, and what Slurm alone can keep."""

from __future__ import annotations

from collections.abc import Iterator

from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.request import NODES, GresRequests
from slurm_het.core.model import Job
from slurm_het.core.network import Layout

SEVERAL = ("--contiguous", "--segment", "--spread-segments", "--consolidate-segments")
"""Options that mean nothing to a job of one node."""


def slurm_chooses(job: Job, asked: GresRequests, slots: int, leaves: int) -> tuple[str, ...]:
    """The options of a job of so many slots that Slurm keeps only if it chooses the nodes.

    `leaves` is how many leaf switches there are, 0 where the network is no tree.
    """
    return tuple(_options(job, asked, slots, leaves))


def _options(job: Job, asked: GresRequests, slots: int, leaves: int) -> Iterator[str]:
    layout = job.layout
    for option in layout.by_slurm:
        one_is_all = slots == 1 and option.startswith(SEVERAL)
        if option == "--spread-job":
            one_is_all = job.nodes_max == 1 or max(slots, job.tasks) == 1
        if not one_is_all:
            yield option
    if 1 < layout.switches < min(slots, leaves):
        yield f"--switches={layout.switches}"
    nodes = _range_of_nodes(job)
    # Where the devices are counted in all, or it says --use-min-nodes, it gets the least nodes.
    if nodes and asked.node and not layout.fewest:
        yield f"--nodes={nodes}"


def _range_of_nodes(job: Job) -> str:
    """The numbers of nodes between which Slurm may choose, as far as they are known."""
    if mark := decode_comment(job.admin_comment):
        return mark.original.get(NODES, "")
    if job.nodes_max > job.nodes_min and (job.nodes_min, job.nodes_max) != (1, job.tasks):
        return f"{job.nodes_min}-{job.nodes_max}"
    return f"?-{job.nodes_max}" if 0 < job.tasks < job.nodes_min == job.nodes_max else ""


def leaf_patience(layout: Layout, slots: int, leaves: int) -> int | None:
    """How many seconds a job of so many slots would wait to be under one leaf switch; None: it
    need not be. --switches means nothing to Slurm where the network is no tree."""
    return layout.wait_seconds if layout.switches == 1 < slots and leaves > 1 else None
