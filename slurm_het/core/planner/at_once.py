"""A job of srun or salloc that is given its nodes while it is submitted: Slurm starts it at once.

To wait in the gate for hetd's cycle, and then for Slurm's next pass, takes about a second; somebody
before a terminal sees that. Where nobody waits, nobody loses by it: each cycle leaves `Openings`
behind, and an `AtOnce` in the hook's process gives them to those who come before the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.jobs.admission import Admitted
from slurm_het.core.jobs.at_submit import record_of
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.constraint_of_ours import MAX_FEATURES
from slurm_het.core.jobs.mark import decode_comment, encode_mark
from slurm_het.core.jobs.reading import read_job
from slurm_het.core.model import Node, Partition, Placement, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.policy import Policy
from slurm_het.core.reservations.owned import owners_of

ALIKE = 8
"""So many free nodes of one state are offered; more will not be asked for between two cycles."""
SEEN_SECONDS = 0.5
"""Slurm has a job in its records so long after the hook has answered, at the latest: it makes it
next. A cycle that begins later knows of it."""


@dataclass(frozen=True)
class Openings:
    """What a cycle that began at `since` (ticks) leaves for those who come before the next.

    `room` has free nodes, `partitions` are the pools that nobody waits for.
    """

    since: float
    room: Inventory
    partitions: tuple[Partition, ...]


MOST = 64
"""So many nodes are offered: more states of nodes than that cost the hook its time."""


def openings_of(prepared: Prepared, pins: Iterable[Pin], since: float) -> Openings | None:
    """What is left once the plan is carried out: `pins` are those released by now.

    None of it is where somebody waits whom it could delay, or is kept for anybody.
    """
    pins = tuple(pins)
    done = {pin.task.key for pin in pins} | prepared.held.keys()
    waiting = [task for task in prepared.queue.tasks if task.key not in done]
    if prepared.strays or prepared.queue.unlisted:
        return None  # nobody knows yet which pools they wait for
    busy = {pool for task in waiting for pool in task.pools} | prepared.line.pools
    open_to_all = tuple(
        partition
        for partition in prepared.snapshot.partitions
        if prepared.policy.pool(partition.name)
        and partition.name not in busy
        and _takes_everybody(partition)
    )
    kept = {name for made in prepared.ahead.reservations for name in made.placement.nodes}
    kept |= {n for pin in pins if pin.start or pin.preempts for n in pin.placement.nodes}
    kept |= owners_of(prepared.snapshot).keys()
    kept |= {name for record in prepared.snapshot.reservations for name in record.nodes}
    room = room_beside(prepared.inventory, pins)
    nodes = _some({p.name for p in open_to_all}, kept, room)
    chosen = {node.name: node for node in islice(nodes, MOST)}  # the hook has 50 ms in all
    return Openings(since, Inventory(chosen), open_to_all) if chosen else None


def _takes_everybody(partition: Partition) -> bool:
    """Whether Slurm runs anybody's jobs there, as far as its settings say: of who submits, the hook
    does not know all that they look at."""
    access = (
        partition.allow_groups, partition.allow_accounts, partition.deny_accounts,
        partition.allow_qos, partition.deny_qos, partition.root_only, partition.root_disabled,
        partition.reservation_required, partition.qos, partition.alloc_nodes,
    )  # fmt: skip
    return partition.state == "UP" and not any(access)


def _some(pools: set[str], kept: set[str], room: Inventory) -> Iterator[Node]:
    """Some nodes of each state that has anything free."""
    for state in room.grid.states:
        node = state.node
        free = any(device.free_gib for device in node.devices) and node.cpus_free
        if free and node.usable and pools.intersection(node.partitions):
            names = [name for name in state.names if name not in kept]
            yield from (room.nodes[name] for name in names[:ALIKE])


class AtOnce:
    """Gives the openings to interactive jobs. Times are ticks: seconds that never go back.

    `known` is what there is in the cluster, free or not; openings older than `patience` seconds are
    those of a hetd that hangs.
    """

    def __init__(self, policy: Policy, patience: float) -> None:
        self.policy, self.patience = policy, patience
        self.known = Inventory({})
        self.openings: Openings | None = None
        self._facts: tuple[Inventory, Openings, ClusterFacts] | None = None
        self._given: list[Pin] = []
        self._waits_since = float("-inf")
        self._number = 0

    def somebody_waits(self, ticks: float) -> None:
        """A job goes to the gate: nobody is served before it until a cycle has seen it."""
        self._waits_since = ticks

    def any_left(self, ticks: float) -> bool:
        """Whether there are openings now."""
        return self._open(ticks) is not None

    def place(self, sent: Mapping[str, str], made: Admitted, ticks: float) -> Admitted | None:
        """The job with its partition and nodes; None if it is to go to the gate, as it is."""
        openings = self._open(ticks)
        if openings is None:
            return None
        task = self._task(sent, made, openings)
        if task is None:
            return None
        room = room_beside(openings.room, self._given)
        placed = plan(room, (task,), self.policy, greedy).placements
        there = _sent_there(made, placed[0]) if placed else None
        if there:
            self._given.append(Pin(task, placed[0], ticks))
        return there

    def _open(self, ticks: float) -> Openings | None:
        openings = self.openings
        if openings is None or ticks > openings.since + self.patience:
            return None
        seen = openings.since - SEEN_SECONDS
        self._given = [pin for pin in self._given if pin.since > seen]
        return None if self._waits_since > seen else openings

    def _task(self, sent: Mapping[str, str], made: Admitted, openings: Openings) -> Task | None:
        self._number -= 1  # no job of Slurm's has such an id
        job = record_of(sent, made, self._number)
        if job is None:
            return None
        task = read_job(job, self._facts_of(openings)).outcome
        if not isinstance(task, Task) or task.magnets or (task.lot and len(task.slots) > 1):
            return None
        nodes = len(task.slots)
        return task if nodes == 1 or job.nodes_min == job.nodes_max == nodes else None

    def _facts_of(self, openings: Openings) -> ClusterFacts:
        """What jobs are held against, worked out once for as long as nothing else is heard.

        What exists decides over the pools, and how large a node is over the number of nodes.
        """
        if self._facts and self._facts[0] is self.known and self._facts[1] is openings:
            return self._facts[2]
        there = replace(self.known, nodes=self.known.nodes | openings.room.nodes)
        partitions = {partition.name: partition for partition in openings.partitions}
        facts = ClusterFacts(there, self.policy, partitions, 0.0, False)
        self._facts = self.known, openings, facts
        return facts


def _sent_there(made: Admitted, placement: Placement) -> Admitted | None:
    """The job with its place written into it; None if its record has no room for that."""
    nodes = ",".join(placement.nodes)
    mark = decode_comment(made.fields["admin_comment"])
    why = f"interactive, and {placement.partition} {nodes} was free: it did not wait in the gate"
    what = replace(made.classification, evidence=(*made.classification.evidence, why))
    comment = mark and encode_mark(mark._replace(classification=what, sent="at once"))
    if not comment or len(nodes) > MAX_FEATURES:
        return None
    place = {"partition": placement.partition, "req_nodes": nodes, "admin_comment": comment}
    return Admitted(made.fields | place, what)
