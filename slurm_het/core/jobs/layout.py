"""How a job's nodes are to lie: what the plan keeps of that, and what Slurm alone can keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from slurm_het.core.jobs.mark import decode_comment, with_original
from slurm_het.core.jobs.request import NODES, NUM_NODES, TMP_DISK, GresRequests, number_of
from slurm_het.core.model import Job
from slurm_het.core.network import Layout

SEVERAL = ("--contiguous", "--segment", "--spread-segments", "--consolidate-segments")
"""Options that mean nothing to a job of one node."""
PREFER = "--prefer="


def slurm_chooses(
    job: Job, asked: GresRequests, slots: int, leaves: int, together: int
) -> tuple[str, ...]:
    """What of a job of so many slots Slurm keeps only if it chooses the nodes: options, most often.

    `leaves` is how many leaf switches there are, 0 where the network is no tree; `together` how
    many nodes of it are known to do for one job.
    """
    options = tuple(_options(job, asked, slots, leaves))
    far = f"no part of the network is known to hold {slots} nodes"
    return (*options, far) if slots > together else options


def _options(job: Job, asked: GresRequests, slots: int, leaves: int) -> Iterator[str]:
    layout = job.layout
    for option in layout.by_slurm:
        one_is_all = slots == 1 and option.startswith(SEVERAL)
        if option == "--spread-job":
            one_is_all = job.nodes_max == 1 or max(slots, job.tasks) == 1
        if not one_is_all:
            yield option
    mark = decode_comment(job.admin_comment)
    # What slurm.conf says counts, and the records of nodes tell what they have.
    if mark and (disk := mark.original.get(TMP_DISK)):
        yield f"--tmp={disk}M"
    if 1 < layout.switches < min(slots, leaves):
        yield f"--switches={layout.switches}"
    if asked.task and slots > 1 and job.tasks < slots * job.ntasks_per_node:
        yield f"--ntasks-per-node={job.ntasks_per_node}"  # BadConstraints on any list of so many
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


def own_nodes(job: Job) -> Job:
    """A job that waits in the gate, with the numbers of nodes that its user left open, though it
    came back from a release that had set one.

    NumNodes= takes no `any number` back (24.11, 26.05), so it came back with a range. 22.05 shows a
    requeued job with as many nodes as it had. With other numbers somebody has set them since.
    """
    least, most = _numbers(kept := _kept(job))
    if not kept:
        return job
    came_back = (job.nodes_min, job.nodes_max) == (least, most)
    as_it_ran = job.restarts > 0 and not job.nodes_max
    mark = decode_comment(job.admin_comment)
    nodes_max = most if mark and NODES in mark.original else 0
    return replace(job, nodes_min=least, nodes_max=nodes_max) if came_back or as_it_ran else job


def nodes_before(job: Job, nodes: int) -> str:
    """The numbers of nodes that NumNodes= is to say again if a gated job comes back from a release
    to so many; '' if it asks for just these."""
    own = own_nodes(job)
    if own.nodes_min == nodes and own.nodes_max in {0, nodes}:
        return ""
    return f"{own.nodes_min}-{max(own.nodes_max, nodes)}"


def nodes_to_put_back(job: Job, nodes: int) -> str:
    """The same of a job that was released to so many, by its record; '' if it is not known, or
    somebody has set another number since."""
    return _kept(job) if job.nodes_min == nodes else ""


def comment_for(job: Job, nodes: int) -> str:
    """The comment with which a gated job is released to so many nodes; '' if it is to stay."""
    now, before = _kept(job), nodes_before(job, nodes)
    if before == now or (not before and own_nodes(job) is not job):
        return ""
    return with_original(job.admin_comment, NUM_NODES, before)


def _kept(job: Job) -> str:
    mark = decode_comment(job.admin_comment)
    return mark.original.get(NUM_NODES, "") if mark else ""


def _numbers(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    return number_of(least, 1), number_of(most, 0)


def leaf_patience(layout: Layout, slots: int, leaves: int) -> int | None:
    """How many seconds a job of so many slots would wait to be under one leaf switch; None: it
    need not be. --switches means nothing to Slurm where the network is no tree."""
    return layout.wait_seconds if layout.switches == 1 < slots and leaves > 1 else None
