"""Users who ask for something else of their queued jobs (`slurm-het ask`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.asked import Anew, asked_anew, update_of
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.jobs.told import understood
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.planner.proposal import TakeBack
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.arrays import array_ranges, has_task
from slurm_het.core.syntax.script import parse_hints
from slurm_het.daemon.control import Caller
from slurm_het.daemon.release import Releaser
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.errors import HetError
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.asks")
MAX_WORDS = 256
TURN_SECONDS = 15.0
MOST_AT_ONCE = 8
MOST_PARTS = 100


class _Part(NamedTuple):
    """A record of Slurm's that is asked for, and the key of what of it is."""

    job: Job
    key: str


class Asks:
    """Changes what a gated job is, at its owner's word: between two cycles, which take `turn` too.

    So no plan is under way that knows the job as it was, and the queue is read by one at a time.
    """

    def __init__(
        self,
        slurm: SlurmClient,
        policy: Policy,
        releaser: Releaser,
        trials: TrialKeeper,
        turn: asyncio.Lock,
    ) -> None:
        self.slurm, self.policy, self.releaser, self.trials = slurm, policy, releaser, trials
        self._turn = turn
        self._asking: set[int] = set()

    async def ask(self, key: str, words: str, caller: Caller) -> dict[str, Any]:
        """What the job, the array's tasks that wait, or the task of one are from now on.

        Raises HetError where nothing is changed.
        """
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
                what, left = await self._change(key, words[:MAX_WORDS], caller)
            finally:
                self._turn.release()
        except TimeoutError:
            raise HetError("hetd is in the middle of a plan", "try again in a moment") from None
        finally:
            self._asking.discard(caller.uid)
        log.info("job %s is asked for anew by %s: %s", key, caller.name or caller.uid, words[:80])
        return {
            "understood": understood(what),
            "evidence": list(what.evidence),
            "left": left,
        }

    async def _change(
        self, key: str, words: str, caller: Caller
    ) -> tuple[Classification, list[str]]:
        """What the parts are from now on, and why some are left as they are."""
        snapshot = await self.slurm.snapshot()
        parts = self._owned(key, snapshot, caller)
        first = parts[0].job
        script = await self.slurm.batch_script(first.array_job_id or first.id)
        inventory = await asyncio.to_thread(take_inventory, snapshot, self.policy)
        due = []
        for part in parts:
            anew, known = Anew(part.job, script, words), self.trials.known
            made = await asyncio.to_thread(asked_anew, anew, self.policy, inventory, known)
            due.append((part, made))
        left: list[str] = []
        for part, made in due:
            try:
                rewrites = snapshot.rewrites_gres
                fields = update_of(part.job, made.fields, self.policy, rewrites=rewrites)
                await self._take_back(part.job)
                await self.slurm.update_job(part.key, fields)
            except HetError as error:
                if len(left) + 1 == len(due):
                    raise
                left.append(f"{part.key} is left as it is: {error.message}")
        return due[0][1].classification, left

    def _owned(self, key: str, snapshot: Snapshot, caller: Caller) -> list[_Part]:
        """What the key names of the caller's jobs, as far as it waits."""
        named = _named(key, snapshot.jobs)
        if not named or not (caller.admin or caller.uid == named[0].job.uid):
            raise HetError(f"you have no job {key}", "squeue --me lists yours")
        waits = [part for part in named if part.job.state == "PENDING" and self._ours(part.job)]
        if not waits:
            job = named[0].job
            raise HetError(
                f"job {key} does not wait for a plan: it is {job.state} in {job.partition}",
                "only jobs that wait in the gate, or for their nodes, can be asked for anew",
            )
        if len(waits) > MOST_PARTS:
            raise HetError(f"{len(waits)} tasks of {key} wait one by one", "ask for each of them")
        return waits

    def _ours(self, job: Job) -> bool:
        return is_gated(job, self.policy) or self._pinned(job)

    def _pinned(self, job: Job) -> bool:
        return job.key in self.releaser.pins.pins

    async def _take_back(self, job: Job) -> None:
        """Have a job that is released, and does not run yet, wait in the gate again."""
        if self._pinned(job):
            due = TakeBack(job.key, "its user asks for something else", penalty=False)
            (outcome,) = await self.releaser.take_back([due])
            if outcome.event is not Event.RETURNED:
                raise HetError(f"job {job.key} is left as it is: {outcome.detail}")


def _named(key: str, jobs: Iterable[Job]) -> list[_Part]:
    """The records that a key names: a job, all of an array, or one of its tasks."""
    array, _, task = key.partition("_")
    family = [job for job in jobs if str(job.array_job_id or job.id) == array]
    if not task:
        named = family or [job for job in jobs if str(job.id) == key]
        return [_Part(job, job.own_key) for job in named]
    own = [_Part(job, key) for job in family if job.key == key]
    rest = (j for j in family if j.unsplit and has_task(array_ranges(j.array_tasks), int(task)))
    return own or [_Part(job, key) for job in rest]
