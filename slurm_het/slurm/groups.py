"""The groups of those whose jobs wait, for AllowGroups of partitions and Groups of reservations.

They are looked up in a process of its own: while a directory server does not answer a look-up
hangs, and Python's getgrouplist lets no other thread run meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from slurm_het.children import end_child
from slurm_het.core.model import Job, Snapshot

log = logging.getLogger("slurm_het.groups")

LAST_SECONDS = 60.0
"""So long a user's groups are taken to be as they were. slurmctld itself looks those of its
partitions up anew every GroupUpdateTime, 600 s by default."""
SOON_SECONDS = 5.0
"""After that a user is looked up again who could not be."""
PATIENCE = 3.0
"""So long a snapshot waits for look-ups, where some user was never looked up; once for all that one
process is asked. All others' groups come beside it, when they come."""
HANGS_SECONDS = 10.0  # without another answer
MOST_BYTES = 1 << 20  # of an answer
COMMAND = (sys.executable, "-I", "-S", str(Path(__file__).with_name("group_lookup.py")))


def go_by_groups(snapshot: Snapshot) -> bool:
    """Whether anything there lets users in by their groups."""
    return any(p.allow_groups for p in snapshot.partitions) or any(
        r.groups for r in snapshot.reservations
    )


@dataclass
class GroupReader:
    """Knows users' groups; one that cannot be looked up has those that he had last.

    `command` looks them up: see group_lookup.py.
    """

    command: Sequence[str] = COMMAND
    _known: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _until: dict[int, float] = field(default_factory=dict)  # of time.monotonic()
    _asking: asyncio.Task[None] | None = field(default=None, repr=False)
    _begun: float = 0.0
    _unknown: set[int] = field(default_factory=set)  # of whom the log says so
    _given: dict[int, tuple[Job, Job]] = field(default_factory=dict)  # by id, with groups second

    async def into(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, with their users' groups in its pending jobs where anything goes by them.

        Jobs that are as they were stay the same objects.
        """
        if not go_by_groups(snapshot):
            return snapshot
        known = await self.read({job.uid for job in snapshot.jobs if job.state == "PENDING"})
        given: dict[int, tuple[Job, Job]] = {}
        for job in snapshot.jobs:
            groups = known.get(job.uid, ()) if job.state == "PENDING" else ()
            if job.groups == groups:
                continue
            pair = self._given.get(job.id)
            if pair is None or pair[0] is not job or pair[1].groups != groups:
                pair = job, replace(job, groups=groups)
            given[job.id] = pair
        self._given = given
        jobs = tuple(given[job.id][1] if job.id in given else job for job in snapshot.jobs)
        return replace(snapshot, jobs=jobs)

    async def read(self, uids: Set[int]) -> Mapping[int, tuple[str, ...]]:
        """The groups of these users, as far as they are known by now."""
        while due := self._due(uids):
            if self._asking is None or self._asking.done():
                self._begun = time.monotonic()
                self._asking = asyncio.create_task(self._ask(due))
            if self._until.keys() >= set(due):
                break  # somebody has tried before: what is known is enough for now
            left = self._begun + PATIENCE - time.monotonic()
            done, _ = await asyncio.wait({self._asking}, timeout=max(0.0, left))
            if not done:
                break
        return self._known

    def _due(self, uids: Iterable[int]) -> list[int]:
        """Whom to look up, those first who are due for longest: one may hang before the others."""
        now, until = time.monotonic(), self._until
        due = [uid for uid in uids if until.get(uid, -math.inf) <= now]
        return sorted(due, key=lambda uid: (until.get(uid, -math.inf), uid))

    async def _ask(self, uids: Sequence[int]) -> None:
        left = dict.fromkeys(uids)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True,
                limit=MOST_BYTES,
            )  # fmt: skip
            try:
                await self._hear(process, left)
            finally:
                await end_child(process)
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            log.info("the groups of %d users are not looked up: %s", len(left), _why(error))
        finally:
            # Of those who got no answer only the first can be why.
            now = time.monotonic()
            for number, uid in enumerate(left):
                self._until[uid] = now + (SOON_SECONDS if number == 0 else SOON_SECONDS / 2)

    async def _hear(self, process: asyncio.subprocess.Process, left: dict[int, None]) -> None:
        """Take the answers; those who had theirs are `left` no more."""
        assert process.stdin  # noqa: S101 - asked for above
        assert process.stdout  # noqa: S101 - asked for above
        with contextlib.suppress(ConnectionError):  # it has ended
            process.stdin.write("".join(f"{uid}\n" for uid in left).encode())
            await asyncio.wait_for(process.stdin.drain(), HANGS_SECONDS)
            process.stdin.close()
        while line := await asyncio.wait_for(process.stdout.readline(), HANGS_SECONDS):
            word, _, told = line.decode().partition(" ")
            uid, names = int(word), json.loads(told)
            left.pop(uid, None)
            if names is not None:
                self._known[uid] = tuple(names)
                self._unknown.discard(uid)
            elif uid not in self._unknown:
                self._unknown.add(uid)
                log.info("user %d is not known on this host now: he keeps the groups he had", uid)
            lasts = SOON_SECONDS if names is None else LAST_SECONDS
            self._until[uid] = time.monotonic() + lasts


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"a look-up has not come back in {HANGS_SECONDS:g} s"
    return str(error) or type(error).__name__
