"""The SlurmClient on Slurm's own programs, run with argument lists and a deadline each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from slurm_het.children import cpu_seconds_of, end_child
from slurm_het.core.model import FINISHED, Job, Snapshot
from slurm_het.core.partition import QosFlags
from slurm_het.core.syntax.script import MAX_SCRIPT
from slurm_het.errors import (
    CannotRunError,
    SlurmBusyError,
    SlurmError,
    TooMuchError,
    TooSlowError,
    lacks,
)
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.accounts import as_enforced
from slurm_het.slurm.backfill import backfill_of
from slurm_het.slurm.cloud_nodes import CloudNodes
from slurm_het.slurm.controllers import Controllers
from slurm_het.slurm.environment import environment, private
from slurm_het.slurm.groups import GroupReader
from slurm_het.slurm.job_reader import NOTHING, Given, JobReader, RecordParser
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.limits import LimitReader
from slurm_het.slurm.preemption import read_preemption
from slurm_het.slurm.printed import Printed
from slurm_het.slurm.qos import QosReader, flags_of
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.slurm.reservations import parse_reservations
from slurm_het.slurm.spoken import counted_tasks, update_line, with_tasks
from slurm_het.slurm.topology import NetworkReader, without_network
from slurm_het.slurm.versions import (
    RETRY_PAUSE,
    RETRY_SECONDS,
    TRANSIENT,
    SlurmVersion,
    parse_version,
)

CONFIG_SECONDS = 60.0  # so long Slurm's version and configuration are taken to be as they were
CHUNK = 1 << 20
OWN_SHARE = 0.2  # of its time on the CPU: who waits for slurmctld takes next to nothing
DEAR_JOBS = "not slurmctld is slow: look for large arrays with thousands of nodes in --exclude"
NO_TOPOLOGY = b"slurm_load_topo error"  # scontrol ends with 0 all the same (22.05, 24.11, 26.05)
FEDERATED = 1 << 26  # from here on a job's id has the number of its cluster in a federation


class CliSlurm:
    """Runs squeue and scontrol. Holds the version and what of the configuration matters."""

    def __init__(self, settings: SlurmSettings | None = None) -> None:
        self.settings = settings or SlurmSettings()
        self._version: SlurmVersion | None = None
        self._version_until = 0.0  # of time.monotonic()
        self._config: dict[str, str] | None = None
        self._config_until = 0.0  # of time.monotonic()
        self._qos = QosReader(self._run)
        self._limits = LimitReader(self._run, self._qos)
        self._networks = NetworkReader(self._run)
        self._groups = GroupReader()
        self._cloud = CloudNodes()
        # Few at a time: each is a process here and a connection to slurmctld.
        self._slots = asyncio.Semaphore(8)
        self.jobs = JobReader(self._run_bytes)
        self.controllers = Controllers(self._run_bytes, self._conf, self.settings.conf)
        self._silent_until = 0.0  # of time.monotonic()
        self._looks, self._patience = 0, dict[str, int]()
        self._shown: dict[str, tuple[int, str]] = {}
        self._counted: dict[str, str] = {}
        self.answered = 0.0  # when one of them last came to its end, of time.monotonic()

    def spare(self, patience: Mapping[str, int]) -> None:
        """Ask less, for who looks again and again: an answer on nodes holds for so many looks."""
        self._patience, self.jobs.sparing = dict(patience), True

    async def version(self) -> SlurmVersion:
        """The version of the Slurm commands (and, in one release, of the controller)."""
        if self._version is None or time.monotonic() > self._version_until:
            self._version = parse_version(await self._run("scontrol", "--version"))
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
            answer = await self._run_bytes(
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
            await self._repeated([*cluster, *words], if_heard=True)
        else:
            given = Given(stdin=line, called=f"update JobId={key}")
            await self._repeated(cluster, given, if_heard=True)

    async def tell_job(self, job_id: int, text: str) -> None:
        """Have a line written to the job's standard error."""
        await self._run("scontrol", "notify", str(job_id), text)

    async def end_job(self, key: str) -> None:
        """End one job, or one task of an array: by the id of its array all tasks would be ended."""
        await self._run("scancel", key)

    async def requeue_job(self, key: str) -> None:
        """Have a batch job that has ended wait again."""
        await self._run("scontrol", "requeue", key)

    async def partition_of(self, key: str) -> str:
        """The partition that a job stands in now; '' if Slurm does not say."""
        try:  # squeue, for in scontrol's text users' words may look like a field
            text = await self._run("squeue", "-h", "-a", "-o", "%P", "-j", key)
        except SlurmError:
            return ""
        found = set(text.split())
        return found.pop() if len(found) == 1 else ""

    async def set_partition_state(self, partition: str, state: str) -> None:
        """Set a partition's State: UP or DOWN."""
        await self._repeated(("update", f"PartitionName={partition}", f"State={state}"))

    async def batch_script(self, job_id: int) -> str:
        """The start of the batch script, as much as is read of it; '' for a job without one."""
        arguments = ("write", "batch_script", str(job_id), "-")
        try:
            script = await self._run_bytes("scontrol", *arguments, start=MAX_SCRIPT)
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
        return await self._run(program, *arguments)

    async def _conf(self) -> dict[str, str]:
        """slurmctld's configuration, which `scontrol reconfigure` may change."""
        if self._config is None or time.monotonic() > self._config_until:
            text = await self._run("scontrol", "show", "config")
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
            text = await self._run("scontrol", "-o", "-a", "-d", "-F", "show", what)
        except SlurmError as error:
            if may_hide and "Access/permission denied" in error.message:
                return ""
            raise
        if text and not text.endswith("\n"):
            raise SlurmError(f"scontrol's answer ends amid a {what} ({len(text)} characters)")
        if patience := self._patience.get(what):
            self._shown[what] = self._looks + patience, text
        return text

    async def _repeated(
        self, arguments: Sequence[str], given: Given = NOTHING, *, if_heard: bool = False
    ) -> None:
        """Have scontrol do something. What may pass is tried again, then SlurmBusyError."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                await self._run_bytes("scontrol", *arguments, given=given, if_heard=if_heard)
            except SlurmError as error:
                if not any(text in error.message for text in TRANSIENT):
                    raise
                if time.monotonic() > deadline:
                    raise SlurmBusyError(error.message, "try again") from error
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return

    async def _run(self, program: str, *arguments: str) -> str:
        return (await self._run_bytes(program, *arguments)).decode("utf-8", "replace")

    async def _run_bytes(
        self,
        program: str,
        *arguments: str,
        given: Given = NOTHING,
        start: int = 0,
        if_heard: bool = False,
    ) -> bytes:
        """Its output, or only so many bytes from its start; SlurmError if it is endless.

        With `if_heard` SlurmBusyError where slurmctld did not answer a moment ago.
        """
        limit = start or given.most
        directory = self.settings.bin_dir
        path = str(directory / program) if directory else program
        async with self._slots:
            if if_heard and time.monotonic() < self._silent_until:
                raise SlurmBusyError("not sent: slurmctld was silent a moment ago", "try again")
            with Printed(limit, given.begun) as printed:
                process = await self._start(path, *arguments, given=given, printed=printed)
                feeding = asyncio.create_task(_feed(process, given.stdin))
                try:
                    err = await self._end(process, path, printed, aside=given.aside)
                finally:
                    feeding.cancel()
                out = printed.read()
        if len(out) > limit:
            if not start:
                called = (*arguments, given.called)[0]
                raise TooMuchError(f"{path} {called} printed more than {limit} bytes")
            return out[:limit]
        failed = process.returncode != 0 or (not out and NO_TOPOLOGY in err)
        if failed and not given.may_fail:
            reason = err.decode("utf-8", "replace").strip()[-500:]
            reason = reason or f"{_ending(process.returncode)}, and says nothing"
            called = given.called or " ".join(arguments[:3])
            raise SlurmError(f"{program} {called}: {reason}")
        return out

    async def _start(
        self, path: str, *arguments: str, given: Given, printed: Printed
    ) -> asyncio.subprocess.Process:
        env = environment(os.environ, self.settings) | self.controllers.env | dict(given.env)
        try:
            process = await asyncio.create_subprocess_exec(
                path, *arguments, env=env, stdin=PIPE if given.stdin else DEVNULL,
                stdout=printed.file, stderr=PIPE, limit=CHUNK,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            if not (why := lacks(error) or getattr(error, "strerror", "")):
                raise
            raise CannotRunError(
                f"cannot run {path}: {why}",
                "install slurm-client, or set slurm.bin_dir in the configuration",
            ) from error
        printed.limit(process.pid, given.cpu_seconds)
        return process

    async def _end(
        self, process: asyncio.subprocess.Process, path: str, printed: Printed, *, aside: bool
    ) -> bytes:
        """Wait until it ends, in time; the end of its complaints."""
        seconds = self.settings.timeout_seconds
        assert process.stderr  # noqa: S101 - asked for above
        errors = asyncio.create_task(_end_of(process.stderr))
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
                self.answered = self.answered if aside else time.monotonic()
                return await errors
        except TimeoutError as error:
            spent = cpu_seconds_of(process.pid)
            at_work = path.endswith("squeue") and spent > seconds * OWN_SHARE
            if printed.has_begun or at_work:  # slurmctld has answered
                why = f"{path} was not done after {seconds:g} s, {spent:.1f} s of them on the CPU"
                raise TooSlowError(why, DEAR_JOBS if at_work else "") from error
            # That slurmdbd does not answer is another matter.
            if not aside and not path.endswith("sacctmgr"):
                self._silent_until = time.monotonic() + RETRY_SECONDS
            raise SlurmError(
                f"{path} did not answer within {seconds:g} s", "is slurmctld up and responsive?"
            ) from error
        finally:
            if process.returncode is None:
                await end_child(process)
            errors.cancel()


def _refuse_nothing(what: str, found: Sequence[object], hidden: frozenset[str]) -> None:
    """Raise SlurmError for an answer without any node or partition: no Slurm has none."""
    if not found and f"{what}s" not in hidden:
        hint = "see slurmctld's log; `scontrol ping` says whether it answers"
        raise SlurmError(f"scontrol show {what} printed no {what} at all", hint)


async def _feed(process: asyncio.subprocess.Process, text: bytes) -> None:
    if not process.stdin:
        return
    with contextlib.suppress(ConnectionError):  # it ended before it read all
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    out = b""
    while part := await stream.read(CHUNK):
        out = (out + part)[-4096:]
    return out


def _ending(code: int | None) -> str:
    return f"ended by signal {-code}" if code and code < 0 else f"failed with exit code {code}"
