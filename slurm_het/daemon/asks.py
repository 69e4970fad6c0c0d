"""Users who ask for something else of their queued jobs (`slurm-het ask`)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admission, Anew, Passed, admit_anew
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.request import TRES_FIELDS
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.planner.proposal import TakeBack
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.script import parse_hints
from slurm_het.daemon.control import Caller
from slurm_het.daemon.release import Releaser
from slurm_het.errors import HetError
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.asks")
MAX_WORDS = 256
TURN_SECONDS = 15.0
MOST_AT_ONCE = 8


class Asks:
    """Changes what a gated job is, at its owner's word: between two cycles, which take `turn` too.

    So no plan is under way that knows the job as it was, and the queue is read by one at a time.
    """

    def __init__(
        self, slurm: SlurmClient, policy: Policy, releaser: Releaser, turn: asyncio.Lock
    ) -> None:
        self.slurm, self.policy, self.releaser = slurm, policy, releaser
        self._turn = turn
        self._asking: set[int] = set()

    async def ask(self, key: str, words: str, caller: Caller) -> dict[str, Any]:
        """What the job is from now on. Raises HetError where it is not changed."""
        hints, odd = parse_hints(words[:MAX_WORDS])
        if odd or not hints:
            raise HetError(f"{words[:40]!r} is no key=value", "such as vendors=amd memory=40G")
        if caller.uid in self._asking or len(self._asking) >= MOST_AT_ONCE:
            raise HetError("another question is being worked on", "try again in a moment")
        self._asking.add(caller.uid)
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turn.acquire()
            try:
                what = await self._change(key, words[:MAX_WORDS], caller)
            finally:
                self._turn.release()
        except TimeoutError:
            raise HetError("hetd is in the middle of a plan", "try again in a moment") from None
        finally:
            self._asking.discard(caller.uid)
        log.info("job %s is asked for anew by %s: %s", key, caller.name or caller.uid, words[:80])
        return {
            "scenario": what.scenario,
            "vendors": list(what.vendors),
            "types": list(what.types),
            "memory_gib": what.memory_gib,
            "evidence": list(what.evidence),
        }

    async def _change(self, key: str, words: str, caller: Caller) -> Classification:
        snapshot = await self.slurm.snapshot()
        job = self._owned(key, snapshot, caller)
        mark = decode_comment(job.admin_comment)
        if mark is None or not mark.original:
            raise HetError(f"how job {key} was submitted is not known", "cancel it, submit it anew")
        script = await self.slurm.batch_script(job.id)
        admission = await asyncio.to_thread(self._anew, snapshot, job, script, words)
        if isinstance(admission, Passed):
            raise HetError(f"job {key} is left as it is: {admission.why}")
        what = admission.classification
        if wrong := [p for p in what.problems if "slurm-het ask" in p]:
            raise HetError(wrong[0].removeprefix("slurm-het ask: "), "nothing is changed")
        if not admission.fields["admin_comment"]:
            raise HetError("what it would be does not fit into its record", "nothing is changed")
        constraint = mark.original.get("features", "")
        fields = self._fields(job, admission.fields, constraint, snapshot)
        await self._take_back(job)
        await self.slurm.update_job(job.key, fields)
        return what

    def _anew(self, snapshot: Snapshot, job: Job, script: str, words: str) -> Admission:
        inventory = take_inventory(snapshot, self.policy)
        return admit_anew(Anew(job, script, words), self.policy, inventory)

    def _owned(self, key: str, snapshot: Snapshot, caller: Caller) -> Job:
        job = next((job for job in snapshot.jobs if job.key == key or str(job.id) == key), None)
        if job is None or not (caller.admin or caller.uid == job.uid):
            raise HetError(f"you have no job {key}", "squeue --me lists yours")
        if job.array_job_id:  # an update of its id is one of all its tasks, where some may run
            raise HetError(f"job {key} is of an array", "cancel what waits of it, submit it anew")
        ours = is_gated(job, self.policy) or self._pinned(job)
        if job.state != "PENDING" or not ours:
            raise HetError(
                f"job {key} does not wait for a plan: it is {job.state} in {job.partition}",
                "only jobs that wait in the gate, or for their nodes, can be asked for anew",
            )
        return job

    def _pinned(self, job: Job) -> bool:
        return job.key in self.releaser.pins.pins

    async def _take_back(self, job: Job) -> None:
        """Have a job that is released, and does not run yet, wait in the gate again."""
        if self._pinned(job):
            due = TakeBack(job.key, "its user asks for something else", penalty=False)
            (outcome,) = await self.releaser.take_back([due])
            if outcome.event is not Event.RETURNED:
                raise HetError(f"job {job.key} is left as it is: {outcome.detail}")

    def _fields(
        self, job: Job, fields: dict[str, str], constraint: str, snapshot: Snapshot
    ) -> dict[str, str]:
        """The update: with its partition, so that Slurm refuses it once the job has started."""
        asks = {f: fields[f] for f in TRES_FIELDS if f in fields and fields[f] != getattr(job, f)}
        if asks and not snapshot.rewrites_gres:
            raise HetError(
                f"it would have to ask for {', '.join(asks.values())}, which this Slurm does not"
                " let a queued job do", "cancel it and submit it anew",
            )  # fmt: skip
        if set(asks) - {"tres_per_node"}:
            raise HetError("it asks for devices per job or task", "cancel it and submit it anew")
        update = {
            "Partition": self.policy.intake_partition,
            "AdminComment": fields["admin_comment"],
            "Features": fields.get("features", constraint),
        }
        return update | ({"Gres": asks["tres_per_node"]} if asks else {})
