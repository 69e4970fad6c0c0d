"""The simulated Slurm as hetd reads it: jobs, nodes, partitions, limits, reservations."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from slurm_het.core.model import Job, NodeRecord, Partition, Snapshot
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.simulation.jobs import JobRun
from slurm_het.simulation.slurm import Slurm
from slurm_het.simulation.world import KeptNodes, Machine

EPOCH = 1_700_000_000.0
"""When a mix begins, in Slurm's time."""


class SimulatedRecords:
    """Snapshots of a simulated Slurm."""

    def __init__(self, slurm: Slurm) -> None:
        self.slurm = slurm
        self._jobs: dict[int, tuple[tuple[object, ...], Job]] = {}
        self._nodes: dict[str, tuple[tuple[int, int, bool], NodeRecord]] = {}

    def snapshot(self) -> Snapshot:
        """All that hetd reads, now."""
        slurm = self.slurm
        running = tuple(slurm.running.values())
        jobs = tuple(map(self.job, (*slurm.pending.values(), *running)))
        if len(self._jobs) > 2 * len(jobs):
            self._jobs = {job.id: self._jobs[job.id] for job in jobs}
        return Snapshot(
            EPOCH + slurm.now,
            jobs,
            tuple(self._node(machine) for machine in slurm.machines.values()),
            self._partitions(),
            limits=slurm.limits.told(self.uids, running),
            reservations=tuple(map(_reservation, slurm.kept)),
            backfill=slurm.settings.backfill,
        )

    @cached_property
    def uids(self) -> dict[str, int]:
        """The users of the mix."""
        names = sorted({job.user for job in self.slurm.world.jobs})
        return {name: _uid(name, 1000 + n) for n, name in enumerate(names)}

    def job(self, run: JobRun) -> Job:
        """A job's record: the same object until something of it changes."""
        now = (
            run.state, run.partition, run.partitions, run.reason, run.features, run.req_nodes,
            run.gres, run.comment,
        )  # fmt: skip
        known = self._jobs.get(run.spec.id)
        if known is None or known[0] != now:
            known = self._jobs[run.spec.id] = now, self._new_job(run)
        return known[1]

    def ended(self, run: JobRun) -> Job:
        """The record of a job that has ended: it has its end, not its limit's."""
        return replace(self._new_job(run), end_time=int(EPOCH + run.end))

    def _new_job(self, run: JobRun) -> Job:
        spec, ask = run.spec, run.spec.ask
        names = sorted(run.where, key=lambda name: self.slurm.machines[name].index)
        folded = hostlist.fold(names)
        submitted = int(EPOCH + spec.at)
        array = int(spec.array) if spec.array.isdecimal() else 0
        return Job(
            spec.id, spec.user, self.uids[spec.user], tuple(spec.groups),
            account=spec.account, qos=spec.qos, name=spec.submission,
            partition=run.partition or ",".join(run.partitions),
            state=run.state, reason=run.reason, priority=run.priority, features=run.features,
            reservation=spec.reservation, req_nodes=",".join(sorted(run.req_nodes)),
            tres_per_node=run.gres, nodes_min=spec.nodes, nodes_max=spec.nodes,
            cpus=spec.nodes * ask.cpus, tasks=spec.nodes, cpus_per_task=ask.cpus,
            memory_per_node_mib=ask.memory_mib, time_limit_minutes=spec.minutes,
            submit_time=submitted, eligible_time=submitted,
            start_time=int(EPOCH + run.start) if run.where else 0,
            end_time=int(EPOCH + run.limit_end) if run.where else 0,
            nodes=folded, gres_detail=tuple(self._details(run, folded)),
            admin_comment=run.comment, array_job_id=array, array_task_id=spec.id if array else None,
        )  # fmt: skip

    @staticmethod
    def _details(run: JobRun, folded: str) -> Iterator[str]:
        ask = run.spec.ask
        for name in hostlist.expand(folded) if folded else ():
            indexes = run.where[name]
            if ask.share:
                yield str(Gres("shard", None, ask.share, indexes=indexes))
            else:
                yield str(Gres(ask.gres, ask.type, len(indexes), indexes=indexes))

    def _node(self, machine: Machine) -> NodeRecord:
        now = machine.cpus_free, machine.memory_free, machine.down
        known = self._nodes.get(machine.name)
        if known is None or known[0] != now:
            known = self._nodes[machine.name] = now, self._new_node(machine)
        return known[1]

    def _new_node(self, machine: Machine) -> NodeRecord:
        host = machine.host
        used = host.cpus - machine.cpus_free
        state = "IDLE" if not used else "MIXED" if machine.cpus_free else "ALLOCATED"
        return NodeRecord(
            machine.name, state + "+DRAIN" * machine.down, host.gres, host.cpus, used,
            host.memory_mib, host.memory_mib - machine.memory_free, 1, host.features,
            self._partitions_of[machine.name],
        )  # fmt: skip

    @cached_property
    def _partitions_of(self) -> dict[str, tuple[str, ...]]:
        parts = self.slurm.world.partitions
        return {
            name: tuple(part for part, names in parts.items() if name in names)
            for name in self.slurm.machines
        }

    def _partitions(self) -> tuple[Partition, ...]:
        slurm, told = self.slurm, self.slurm.world.records
        return tuple(
            replace(
                told.get(name) or Partition(name, default_minutes=60),
                state="UP" if slurm.partition_up[name] else "DOWN", nodes=self._folded[name],
            )
            for name in slurm.world.partitions
        )  # fmt: skip

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {name: hostlist.fold(nodes) for name, nodes in self.slurm.world.partitions.items()}


def _uid(name: str, other: int) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return other


def _reservation(kept: KeptNodes) -> ReservationRecord:
    return ReservationRecord(
        kept.name, EPOCH + kept.start, EPOCH + kept.end, tuple(sorted(kept.nodes)),
        flags=kept.flags, users=kept.users,
    )  # fmt: skip
