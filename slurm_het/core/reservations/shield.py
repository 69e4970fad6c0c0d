"""Who starts now does not delay those above him that must wait: as Slurm's backfill has it.

Slurm protects the tasks that are pinned ahead, on their nodes as a whole. The next ones are not in
Slurm's sight: they are given their places on the time axis, beside those above them that start, and
a task below them starts only where what it takes is theirs to spare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import (
    could_ever_start,
    could_start,
    fitting_states,
    grid_for,
    has_room,
    waits_for_a_leaf,
)
from slurm_het.core.cluster.lots import spread
from slurm_het.core.model import Placement, Task
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import All, Kept, Reason
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.in_vain import InVain, affordable, seconds_of
from slurm_het.core.reservations.reservation import Reservation, turn_of
from slurm_het.core.reservations.time_min import first_above, longest_limit, may_shorten


class _Alike(NamedTuple):
    """What holds of all tasks that ask alike, until the next place is given.

    `off` are the nodes where such a task has room now, that others want before its end. It `starts`
    in spite of that; and only `on_theirs`, if there is room for it only where others have places.
    """

    off: frozenset[str]
    starts: bool
    on_theirs: bool


class _Spare(NamedTuple):
    """The nodes where others have places and some task fits, and until when it has room there.

    Where a place was given since, that is not known.
    """

    names: tuple[str, ...]
    until: dict[str, float]


class Shield:
    """To be asked of the tasks in Slurm's priority order, one after the other.

    `reservations` are those that nodes are kept for; `tasks` are the same before they were kept
    off any: what is closed now may be open then. `kept` says, by key, of the tasks that only
    others' places hold back, whose these are; `given` has these places.
    """

    def __init__(
        self, axis: Axis, reservations: Iterable[Reservation], tasks: Iterable[Task], limits: Limits
    ) -> None:
        self.axis, self.room = axis.copy(), axis.room
        self.kept: dict[str, Reason] = {}
        self.given: list[Reservation] = []
        self._made_of = axis, tuple(reservations), limits
        self._backfill, self._patience = limits.backfill, limits.reserve_after_seconds
        most = affordable(len(self.room.nodes))
        self._left = min(limits.protected, limits.backfill.jobs, most)
        self._of_user, self._of_array = Counter[str](), Counter[str]()
        self._tasks = {task.key: task for task in tasks}
        self._owners: dict[str, list[Reservation]] = {}
        self._reserved: set[str] = set()
        self._known: dict[tuple[Task, int | None], _Alike] = {}
        self._spare: dict[Task, _Spare] = {}
        self._reasons: dict[frozenset[str], Reason] = {}
        self._starting: list[Task] = []
        self._full = InVain(most, self.axis.lasts)
        for made in self._made_of[1]:
            self.axis.take(made, whole_nodes=True)
            self._reserved.add(made.task.key)

    def keep_off(self, task: Task) -> Task:
        """The task, kept off the nodes where it would delay others; if it has to wait, it gets its
        own place. One that can start on more nodes alone asks for these."""
        if could_start(task, self.room):
            started = self._start(self._where_for_longer(task))
            if task.key in self.kept:
                self._protect(task)
            return started
        if (wide := spread(task, self.room)) is not task:
            started = self._start(wide)
            if could_start(started, self.room):
                return started
        if waits_for_a_leaf(task, self.room):
            return task
        self._protect(task)
        return task

    def _protect(self, task: Task) -> None:
        late = task.since + self._patience <= self.axis.now
        if not late or self._left <= 0 or task.key in self._reserved:
            return
        then = self._tasks.get(task.key, task)
        made = self.soonest(then) if could_ever_start(then, self.room) else None
        if made and made.start > self.axis.now:
            self.give_place(made)

    def anew(self) -> Shield:
        """The same one, before anybody was given a place."""
        axis, reservations, limits = self._made_of
        return Shield(axis, reservations, (), limits)

    def soonest(self, task: Task) -> Reservation | None:
        """The place of one that has to wait, beside those above it that start; None if it has none
        as far as is known, or Slurm's backfill would not look at it."""
        if self._left <= 0 or 0 < self._backfill.of_user <= self._of_user[task.user]:
            return None
        if task.array and self._backfill.of_array <= self._of_array[task.array]:
            return None
        if not self._backfill.keeps_for(task.priority, task.since, self.axis.now):
            return None
        if self.axis.in_vain.enough_like(task):
            return None
        self._let_start()
        made = self.axis.soonest(task)
        if made and made.start > self.axis.now + self._backfill.window_seconds:
            self.axis.in_vain.add(task)
            return None
        return made

    def give_place(self, made: Reservation) -> None:
        """Let nobody who is asked about from now on delay this task."""
        self._left -= 1
        self._of_user[made.task.user] += 1
        self._of_array[made.task.array] += 1
        self.given.append(made)
        for name in made.placement.nodes:
            self._owners.setdefault(name, []).append(made)
        self.take(made)
        self._spare.clear()
        self._reasons.clear()

    def take(self, made: Reservation) -> None:
        """Have it known what a task takes, of whom nobody is kept off."""
        self.axis.take(made)
        self._known.clear()
        for _, until in self._spare.values():
            for name in made.placement.nodes:
                until.pop(name, None)

    def delayed_by(self, task: Task, placement: Placement) -> Reservation | None:
        """Whose place a task would be on, while he needs it, if it started there now."""
        end = self.axis.now + seconds_of(task)
        theirs = (name for name in placement.nodes if name in self._owners)
        return next(
            (self.first_on(name) for name in theirs if self.axis.room_until(task, name) < end), None
        )

    def limit_for(self, task: Task, placement: Placement) -> int | None:
        """The time limit (minutes) of a task that starts there now.

        With --time-min the longest one that delays nobody above it, and ends before what one of
        Slurm's reservations closes to it: as Slurm's backfill does it. (Its main scheduler, which
        starts most of what is released, would give it all or nothing.)
        """
        if not self.may_shorten(task, placement.partition):
            return task.limit_in(placement.partition)
        until = self._until(task, placement)
        return longest_limit(task, placement, until, self.axis.now, self.axis.opens)

    def may_shorten(self, task: Task, pool: str) -> bool:
        """Whether a task is content there with less than its limit, and is to get it."""
        return may_shorten(task, pool, self._backfill)

    def _until(self, task: Task, placement: Placement) -> float:
        """Until when a task that starts there now delays nobody above it."""
        theirs = (name for name in placement.nodes if name in self._owners)
        until = [self.axis.room_until(task, name) for name in theirs]
        return min([first_above(task, placement, self._made_of[1]), *until])

    def _where_for_longer(self, task: Task) -> Task:
        """A task with --time-min, kept off the nodes where it would not get all of its limit, if
        it can start on others."""
        pools = [pool for pool in task.pools if self.may_shorten(task, pool)]
        if not pools:
            return task
        limits = [task.limit_in(pool) for pool in pools]
        given = [minutes for minutes in limits if minutes is not None]
        whole = replace(task, minutes=max(given) if len(given) == len(limits) else None)
        end = self.axis.now + seconds_of(whole)
        off = self._work_out(whole).off if self._owners else frozenset[str]()
        for made in self._made_of[1]:
            if turn_of(made.task) < turn_of(task) and made.start < end:
                off |= frozenset(made.placement.nodes)
        elsewhere = task.off(off)
        return elsewhere if could_start(elsewhere, self.room) else task

    def further(self, task: Task) -> Task:
        """One that comes after all of them, kept off the same way; it is given nothing."""
        if not self._owners or not could_start(task, self.room):
            return task
        return task.off(self._work_out(task).off)

    def first_on(self, name: str) -> Reservation | None:
        """The place that is given soonest on a node; None if none is."""
        return min(self._owners.get(name, ()), key=lambda made: made.start, default=None)

    def _start(self, task: Task) -> Task:
        if not self._owners:
            self._starting.append(task)
            return task
        like = task.request, task.minutes
        if like not in self._known:
            self._known[like] = self._work_out(task)
        known = self._known[like]
        task = task.off(known.off)
        if not known.starts:
            self.kept[task.key] = self._reason(known.off)
        elif not known.on_theirs:
            self._starting.append(task)
        elif made := self.axis.at_once(task):  # what it takes, the next ones cannot have
            self.take(made)
        else:  # all that was to spare is given out, for those that ask alike too
            self._known[like] = known._replace(on_theirs=False)
        return task

    def _let_start(self) -> None:
        """Give those their room that start where nobody has his place yet: who has to wait comes
        after them. Where they do start, the plan alone knows."""
        for task in self._starting:
            if task in self._full or self._full.enough_like(task):
                continue
            if made := self.axis.at_once(task):
                self.take(made)
            else:
                self._full.add(task)
        self._starting.clear()

    def _work_out(self, task: Task) -> _Alike:
        spare, end = self._spare_for(task), self.axis.now + seconds_of(task)
        off = frozenset(
            name for name, until in spare.items()
            if (until or self._free_until(task, name, end)) < end
        )  # fmt: skip
        elsewhere = task.request.off(frozenset(spare))
        return _Alike(
            off,
            not off or could_start(task.off(off), self.room),
            not could_start(elsewhere, self.room),
        )

    def _free_until(self, task: Task, name: str, end: float) -> float:
        """Until when a node may have room for a task, if others above it may yet start elsewhere
        who were given all of that: until the first there who waits starts. `end` if there is none
        beside what runs."""
        node = self.room.nodes[name]
        is_free = any(has_room(task, slot, node) for slot in set(task.slots))
        first = self.first_on(name) if is_free else None
        return first.start if first else end

    def _spare_for(self, task: Task) -> dict[str, float]:
        """By node where others have places, until when there is room for such a task."""
        request = task.request
        if request not in self._spare:
            grid = grid_for(task, self.room)
            fits = set(fitting_states(task, grid))
            mine = (n for n in self._owners if grid.state_of[n] in fits and n not in task.exc_nodes)
            self._spare[request] = _Spare(tuple(mine), {})
        names, until = self._spare[request]
        for name in names:
            if name not in until:
                until[name] = self.axis.room_until(task, name)
        return until

    def _reason(self, off: frozenset[str]) -> Reason:
        if off not in self._reasons:
            nodes: dict[tuple[str, float], list[str]] = {}
            for name in sorted(off):
                if first := self.first_on(name):
                    nodes.setdefault((first.task.key, first.start), []).append(name)
            reasons = tuple(Kept(tuple(names), *owner) for owner, names in nodes.items())
            self._reasons[off] = reasons[0] if len(reasons) == 1 else All(reasons)
        return self._reasons[off]
