"""The SlurmClient on Slurm's own programs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from slurm_het.core.model import FINISHED, Job, Snapshot
from slurm_het.core.partition import QosFlags
from slurm_het.core.syntax.script import MAX_SCRIPT
from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.accounts import as_enforced
from slurm_het.slurm.backfill import backfill_of
from slurm_het.slurm.cloud_nodes import CloudNodes
from slurm_het.slurm.controllers import Controllers
from slurm_het.slurm.environment import private
from slurm_het.slurm.groups import GroupReader
from slurm_het.slurm.job_reader import JobReader, RecordParser
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.limits import LimitReader
from slurm_het.slurm.preemption import read_preemption
from slurm_het.slurm.programs import Given, Programs
from slurm_het.slurm.qos import QosReader, flags_of
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.slurm.reservations import parse_reservations
from slurm_het.slurm.spoken import counted_tasks, update_line, with_tasks
from slurm_het.slurm.topology import NetworkReader, without_network
from slurm_het.slurm.versions import (
    SlurmVersion,
    parse_version,
)

CONFIG_SECONDS = 60.0  # so long Slurm's version and configuration are taken to be as they were
FEDERATED = 1 << 26  # from here on a job's id has the number of its cluster in a federation


class CliSlurm:
    """Runs squeue and scontrol. Holds the version and what of the configuration matters."""

    def __init__(self, settings: SlurmSettings | None = None) -> None:
        self.settings = settings or SlurmSettings()
        self._version: SlurmVersion | None = None
        self._version_until = 0.0  # of time.monotonic()
        self._config: dict[str, str] | None = None
        self._config_until = 0.0  # of time.monotonic()
        self.programs = Programs(self.settings, lambda: self.controllers.env)
        self._qos = QosReader(self.programs.text)
        self._limits = LimitReader(self.programs.text, self._qos)
        self._networks = NetworkReader(self.programs.text)
        self._groups = GroupReader()
        self._cloud = CloudNodes()
        self.jobs = JobReader(self.programs.run)
        self.controllers = Controllers(self.programs.run, self._conf, self.settings.conf)
        self._looks, self._patience = 0, dict[str, int]()
        self._shown: dict[str, tuple[int, str]] = {}
        self._counted: dict[str, str] = {}

    @property
    def answered(self) -> float:
        """When a program last came to its end, of time.monotonic()."""
        return self.programs.answered

    def spare(self, patience: Mapping[str, int]) -> None:
        """Ask less, for who looks again and again: an answer on nodes holds for so many looks."""
        self._patience, self.jobs.sparing = dict(patience), True

    async def version(self) -> SlurmVersion:
        """The version of the Slurm commands (and, in one release, of the controller)."""
        if self._version is None or time.monotonic() > self._version_until:
            self._version = parse_version(await self.programs.text("scontrol", "--version"))
            self._version_until = time.monotonic() + CONFIG_SECONDS
        return self._version

    async def snapshot(self, *also: Job) -> Snapshot:
        """All jobs, then the nodes and partitions: what starts in between counts on its node. The
        limits are those that bear on the jobs, and on those that are `also` to wait."""
        self._looks += 1
        version, hidden = await self.version(), await self.hidden()
        tracked = "MEMORY" in (await self._conf()).get("SelectTypeParameters", "").upper()
        jobs = await self.jobs.read(RecordParser(version, tracked))
        self._counted = counted_tasks(jobs)
        nodes, partitions, reservations = await asyncio.gather(
            self._show("node", may_hide="nodes" in hidden),
            self._show("partition", may_hide="partitions" in hidden),
            self._show("reservation", may_hide="reservations" in hidden),
        )
        records = parse_nodes(nodes, forgets_devices=version.forgets_devices)
        records_of_partitions = as_enforced(
            parse_partitions(partitions), version, await self._conf()
        )
        future = tuple(n for n in records if n.future)
        records, unseen = tuple(n for n in records if not n.future), frozenset[str]()
        _refuse_nothing("node", records, hidden)
        _refuse_nothing("partition", records_of_partitions, hidden)
        if version.hides_cloud and not hidden:
            conf = await self._conf()
            records, unseen = self._cloud.beside(records, future, records_of_partitions, conf)
        networks = await self._networks.read(p.topology for p in records_of_partitions)
        if version.needs_network:
            records = without_network(records, networks[""])
        snapshot = Snapshot(
            time=time.time(),
            jobs=jobs,
            nodes=records,
            partitions=records_of_partitions,
            rewrites_gres=version.rewrites_gres,
            forgets_sharers=version.forgets_sharers,
            reservations=parse_reservations(reservations, records),
            networks=networks,
            backfill=backfill_of((await self._conf()).get("SchedulerParameters", "")),
            preemption=await read_preemption(await self._conf(), self._qos),
            future=future,
            unseen=unseen,
            qos_flags=await self._qos_flags(),
            submit_rules=version.submit_rules((await self._conf()).get("EnforcePartLimits", "NO")),
        )
        snapshot = await self._groups.into(snapshot)
        return replace(snapshot, limits=await self._limits.read(snapshot, await self._conf(), also))

    async def _qos_flags(self) -> QosFlags:
        if "slurmdbd" not in (await self._conf()).get("AccountingStorageType", ""):
            return {}
        return flags_of(await self._qos.read())

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        """The jobs that ended and that Slurm still remembers: of these ids, or all.

        As JSON, not by `scontrol show job`: a job's name could pose as its exit state there.
        """
        version, states = await self.version(), ",".join(sorted(FINISHED))
        chosen = ("--jobs", ",".join(map(str, ids))) if ids else ()
        try:
            answer = await self.programs.run(
                "squeue", "--all", version.squeue_json, "--states", states, *chosen
            )
        except SlurmError as error:
            if "Invalid job id" in error.message:  # of a single one that it has forgotten
                return ()
            raise
        jobs = await asyncio.to_thread(parse_jobs, answer, memory_tracked=True)
        self._counted |= counted_tasks(jobs)  # who is requeued and then updated
        wanted = set(ids)  # 22.05 prints all jobs, whatever it is asked for
        return tuple(
            job
            for job in jobs
            if job.finished and (not wanted or not wanted.isdisjoint((job.id, job.array_job_id)))
        )

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """Update one job. What may pass is tried again for 3 s, then SlurmBusyError.

        Nor is it tried just after slurmctld did not answer: of 64 updates each eight would wait for
        the whole of their time, and a cycle for minutes.
        """
        self.jobs.doubt(key)
        version = self._version or await self.version()  # no look-up for each update
        fields = with_tasks(key, fields, self._counted, version)
        cluster: tuple[str, ...] = ()
        if int(key.partition("_")[0]) >= FEDERATED:  # else it counts the siblings' copies, too
            cluster = "-M", (await self._conf()).get("ClusterName", "")
        line = update_line(key, fields)  # what users wrote is nobody's: arguments are public
        if line is None:
            words = ["update", f"JobId={key}", *(f"{k}={v}" for k, v in fields.items())]
            await self.programs.change(*cluster, *words, given=Given(if_heard=True))
        else:
            given = Given(stdin=line, called=f"update JobId={key}", if_heard=True)
            await self.programs.change(*cluster, given=given)

    async def tell_job(self, job_id: int, text: str) -> None:
        """Have a line written to the job's standard error."""
        await self.programs.text("scontrol", "notify", str(job_id), text)

    async def end_job(self, key: str) -> None:
        """End one job, or one task of an array: by the id of its array all tasks would be ended."""
        await self.programs.text("scancel", key)

    async def requeue_job(self, key: str) -> None:
        """Have a batch job that has ended wait again."""
        await self.programs.text("scontrol", "requeue", key)

    async def partition_of(self, key: str) -> str:
        """The partition that a job stands in now; '' if Slurm does not say."""
        try:  # squeue, for in scontrol's text users' words may look like a field
            text = await self.programs.text("squeue", "-h", "-a", "-o", "%P", "-j", key)
        except SlurmError:
            return ""
        found = set(text.split())
        return found.pop() if len(found) == 1 else ""

    async def set_partition_state(self, partition: str, state: str) -> None:
        """Set a partition's State: UP or DOWN."""
        await self.programs.change("update", f"PartitionName={partition}", f"State={state}")

    async def batch_script(self, job_id: int) -> str:
        """The start of the batch script, as much as is read of it; '' for a job without one."""
        arguments = ("write", "batch_script", str(job_id), "-")
        try:
            given = Given(start=MAX_SCRIPT)
            script = await self.programs.run("scontrol", *arguments, given=given)
        except SlurmError:
            return ""
        return script.decode("utf-8", "replace")

    async def hidden(self) -> frozenset[str]:
        """What PrivateData may hide from us: jobs, nodes, partitions...; nothing from admins.

        Operators of slurmdbd see all, but that is not for us to know.
        """
        conf = await self._conf()
        if f"({os.getuid()})" in conf.get("SlurmUser", "") or os.getuid() == 0:
            return frozenset()
        return private(conf)

    async def configuration(self, *, anew: bool = False) -> dict[str, str]:
        """What `scontrol show config` says; a minute ago, unless it is to be asked `anew`."""
        if anew:
            self._config = None
        return await self._conf()

    async def ask(self, program: str, *arguments: str) -> str:
        """What one of Slurm's programs prints, in bounded time. Raises SlurmError."""
        return await self.programs.text(program, *arguments)

    async def _conf(self) -> dict[str, str]:
        """slurmctld's configuration, which `scontrol reconfigure` may change."""
        if self._config is None or time.monotonic() > self._config_until:
            text = await self.programs.text("scontrol", "show", "config")
            pairs = (line.partition("=") for line in text.splitlines())
            self._config = {key.strip(): value.strip() for key, _, value in pairs}
            self._config_until = time.monotonic() + CONFIG_SECONDS
        return self._config

    async def _show(self, what: str, *, may_hide: bool) -> str:
        """All nodes, partitions or reservations as text; '' where Slurm keeps them from us."""
        if what in self._shown and self._looks < self._shown[what][0]:
            return self._shown[what][1]
        try:
            # -d: GresUsed; -F: nodes of state FUTURE too
            text = await self.programs.text("scontrol", "-o", "-a", "-d", "-F", "show", what)
        except SlurmError as error:
            if may_hide and "Access/permission denied" in error.message:
                return ""
            raise
        if text and not text.endswith("\n"):
            raise SlurmError(f"scontrol's answer ends amid a {what} ({len(text)} characters)")
        if patience := self._patience.get(what):
            self._shown[what] = self._looks + patience, text
        return text


def _refuse_nothing(what: str, found: Sequence[object], hidden: frozenset[str]) -> None:
    """Raise SlurmError for an answer without any node or partition: no Slurm has none."""
    if not found and f"{what}s" not in hidden:
        hint = "see slurmctld's log; `scontrol ping` says whether it answers"
        raise SlurmError(f"scontrol show {what} printed no {what} at all", hint)
