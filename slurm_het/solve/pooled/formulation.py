"""The formulation for large clusters: equal tasks, and nodes and devices in one state, as counts.

    z_c    = how many slots go to choice c (of a request, a group, a slot, and a place: a state of
             nodes and states of devices there)
    y_t    = 1 if open task t starts; f_r tasks of request r must start
    y_rg   = how many tasks of request r are in group g

    maximise    sum_c w_c z_c + sum_rg v_rg y_rg

    subject to  sum_c z_c                = m_k (f_r + sum_t y_t)   each r, g, k: m_k times slot k
                sum_c CPUs, host memory  <= all that the nodes of the state have
                sum_c GiB                <= all that the devices of the state have
                sum_{c > half} z_c       <= nodes (devices) of the state, as two do not fit on one
                sum_rg [m_r / 2] y_rg    <= pairs of slots that the nodes of such groups hold
                sum_t use_tl y_t         <= left_l less what the f_r tasks use   each budget l

It leaves out that slots do not divide up evenly among the nodes of a state. That makes it a
relaxation: its optimum bounds every plan. The counts are then expanded to nodes and devices. What
finds no place there is put elsewhere first-fit, so that the plan is feasible; its distance from the
bound says how good it is. Where expanding loses nothing the plan is optimal.

Of the choices only those that may matter enter the program: the best ones of each request, then
those that the prices of the LP relaxation show to be worth it, until there is none.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from slurm_het.core.assignment.first_fit import Starts, complete, value
from slurm_het.core.assignment.problem import Problem, SlotChoice
from slurm_het.solve.mip_model import SolverName, for_relaxing
from slurm_het.solve.pooled.choices import Choice, Choices, Place
from slurm_het.solve.pooled.expand import expand
from slurm_het.solve.pooled.program import PooledProgram, Scope
from slurm_het.solve.search import Answer, OutOfTimeError

FIRST_CHOICES = 6  # per request, before there are prices; fewer where there are many requests
FIRST_IN_ALL = 1_500
PRICED_IN = 25  # choices of one request that a round of pricing may add
ROUNDS = 12
LEVEL_CHOICES = 40_000  # a level of starts needs all choices, and is not tried with more than these
CHOICE_SECONDS = 60e-6  # to put a choice into a program, and as long again to solve it
ALL_CHOICES = 2_000  # up to so many all enter the program at once
LP_SHARE = 0.7  # of the time, for the LPs
SMALL_GAIN = 0.25  # of the gap allowed: choices that could add no more are not looked for


class Pooled:
    """The problem in counts, as the search asks for it."""

    def __init__(self, problem: Problem, solver: SolverName) -> None:
        self.choices, self.solver = Choices(problem), solver

    def able(self, deadline: float) -> list[int]:
        """The tasks that could start if they were alone."""
        return self.choices.able(deadline)

    def model(self, tasks: Sequence[int], fixed: Sequence[int], deadline: float) -> PooledModel:
        """The model in which `tasks` may start and those in `fixed` must."""
        return PooledModel(self.choices, self.solver, tasks, fixed, deadline)


class PooledModel:
    """One model: `tasks` may start, those in `fixed` must; all the others do not start."""

    def __init__(
        self,
        choices: Choices,
        solver: SolverName,
        tasks: Sequence[int],
        fixed: Sequence[int],
        deadline: float,
    ) -> None:
        self.choices, self.problem, self.solver = choices, choices.problem, solver
        self.tasks, self.deadline = tasks, deadline
        must = set(fixed)
        request = {t: self.problem.tasks[t].request for t in tasks}
        self.scope = Scope(
            tuple(sorted(set(request.values()))),
            tuple(t for t in tasks if t in must),
            Counter(request[t] for t in tasks if t in must),
            tuple(t for t in tasks if t not in must),
        )
        self.in_order: list[int] = []  # the tasks whose starts are the objective; none: sum w·x
        self.known: Starts = {}
        self.complete = False  # whether every choice is in the program, which then bounds all plans

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.in_order = []

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        self.in_order = list(tasks)

    def start_from(self, starts: Starts) -> None:
        """Take a feasible plan: what it chose enters the program, and its value is to be beaten."""
        self.known = {t: starts[t] for t in self.tasks if t in starts}

    def optimise(self, seconds: float, gap: float, gap_abs: float) -> Answer:
        """Solve for at most so long; raises OutOfTimeError if there is no time at all."""
        if seconds <= 0:
            raise OutOfTimeError
        until = min(self.deadline, time.monotonic() + seconds)
        return self._starts(until) if self.in_order else self._weights(until, gap, gap_abs)

    def _program(self, chosen: Sequence[Choice], solver: SolverName) -> PooledProgram:
        return PooledProgram(self.choices, self.scope, chosen, solver)

    # --- which tasks start ---

    def _starts(self, until: float) -> Answer:
        time_for = int((until - time.monotonic()) / (2 * CHOICE_SECONDS))
        chosen = self._every_choice(min(LEVEL_CHOICES, time_for))
        if chosen is None or time.monotonic() > until:
            return Answer(None, proven=False, bound=math.inf)
        program = self._program(list(chosen), self.solver)
        program.maximise_starts(self.in_order)
        solved = program.solve(until, 0.0, 0.5)
        if not solved.found:
            return Answer(None, proven=False, bound=math.inf)
        started = program.started()
        if started == self.known.keys() & set(self.scope.open):
            return Answer(dict(self.known), proven=solved.proven, bound=math.inf)
        wanted = [t for t in self.tasks if t in started or t not in self.scope.open]
        starts = self._expanded(program.counts(), wanted)
        return Answer(starts, proven=solved.proven, bound=math.inf)

    def _every_choice(self, most: int) -> dict[Choice, None] | None:
        """All choices there are; None if they are more than `most`."""
        chosen: dict[Choice, None] = {}
        for keys in self._keys():
            for place in self.choices.of(*keys):
                chosen[Choice(*keys, place)] = None
            if len(chosen) > most:
                return None
        return chosen

    def _keys(self) -> Iterator[tuple[int, int, int]]:
        """Request, group and slot; of equal slots the first."""
        for r in self.scope.requests:
            slots = self.problem.requests[r].slots
            for g in range(len(self.choices.groups[r])):
                for k in dict.fromkeys(map(slots.index, slots)):
                    yield r, g, k

    # --- where they start ---

    def _weights(self, until: float, gap: float, gap_abs: float) -> Answer:
        began = time.monotonic()
        bound, program = self._relaxed(began + (until - began) * LP_SHARE, gap)
        best: Starts | None = self.known if len(self.known) == len(self.tasks) else None
        if program is not None:
            best = self._better(best, self._expanded(program.counts(), self.tasks))
        if program is not None and not self._close(best, bound, gap, gap_abs):
            if self.solver != for_relaxing(self.solver):
                program = self._program(program.chosen, self.solver)
                program.maximise_weights()
            if until > time.monotonic() and (solved := program.solve(until, gap, gap_abs)).found:
                best = self._better(best, self._expanded(program.counts(), self.tasks))
                if solved.proven and self.complete:
                    bound = min(bound, solved.bound)
        return Answer(best, proven=self._close(best, bound, gap, gap_abs), bound=bound)

    def _close(self, starts: Starts | None, bound: float, gap: float, gap_abs: float) -> bool:
        if starts is None or math.isinf(bound):
            return False
        reached = value(replace(self.problem, prices=None), starts)  # of which the bound is
        return bound - reached <= max(gap_abs, gap * abs(reached))

    def _better(self, one: Starts | None, other: Starts | None) -> Starts | None:
        if one is None or other is None:
            return other if one is None else one
        return max(one, other, key=lambda s: value(self.problem, s))

    def _relaxed(self, until: float, gap: float) -> tuple[float, PooledProgram | None]:
        """The bound of the LP relaxation, and the program with the choices worth keeping."""
        chosen = self._first_choices()
        bound, program = math.inf, None
        for _ in range(ROUNDS):
            if time.monotonic() > until:
                break
            trial = self._program(list(chosen), for_relaxing(self.solver))
            trial.maximise_weights()
            reached = trial.relax(until)
            if reached is None:
                break
            program = trial
            more, slack = self._price(trial, chosen)
            bound = min(bound, reached + slack)
            if slack <= SMALL_GAIN * gap * abs(reached):
                break
            chosen |= dict.fromkeys(more)
        return bound, program

    def _first_choices(self) -> dict[Choice, None]:
        """All choices if they are few; else the best of each slot, and those of the known plan."""
        chosen = self._every_choice(ALL_CHOICES)
        if chosen is not None:
            self.complete = True
            return chosen
        chosen = {}
        wanted = Counter(self.problem.tasks[t].request for t in self.tasks)
        first = max(1, min(FIRST_CHOICES, FIRST_IN_ALL // max(1, len(self.scope.requests))))
        for r, g, k in self._keys():
            slot_count = self.problem.requests[r].slots.count(self.problem.requests[r].slots[k])
            nodes = 0
            for i, place in enumerate(self.choices.of(r, g, k)):
                if i >= first and nodes >= 2 * wanted[r] * slot_count:
                    break
                chosen[Choice(r, g, k, place)] = None
                nodes += self.choices.nodes[place.state]
        for t, choices in self.known.items():
            chosen |= dict.fromkeys(self._choices_of(t, choices))
        return chosen

    def _choices_of(self, t: int, choices: Sequence[SlotChoice]) -> Iterator[Choice]:
        """What a task of a plan chose, as choices."""
        r = self.problem.tasks[t].request
        request = self.problem.requests[r]
        weights = self.problem.weights[request.weights]
        states = {self.problem.nodes[c.node].state for c in choices}
        g = request.best_group(states) if len(request.slots) > 1 else 0
        for slot, choice in zip(request.slots, choices, strict=True):
            taken = [self.problem.devices[j].state for j in choice.devices]
            worth = sum(weights[state] for state in taken)
            devices = sorted(Counter(taken).items(), key=lambda e: -weights[e[0]])
            place = Place(worth, self.problem.nodes[choice.node].state, tuple(devices))
            known = self.choices.at(request.weights, slot.devices, place.state)
            same = next((p for p in known if sorted(p.devices) == sorted(devices)), place)
            yield Choice(r, g, request.slots.index(slot), same)

    def _price(
        self, program: PooledProgram, chosen: dict[Choice, None]
    ) -> tuple[list[Choice], float]:
        """The choices left out that the prices show to be worth it, and what they add to the bound.

        At best each task gains what the best of its choices does.
        """
        prices = program.prices()
        wanted = Counter(self.problem.tasks[t].request for t in self.tasks)
        more: list[Choice] = []
        slack = 0.0
        for r, g, k in self._keys():
            price = prices[r, g, k]
            gains: list[tuple[float, Choice]] = []
            for place in self.choices.of(r, g, k):
                if place.worth - price <= 1e-7:
                    break
                choice = Choice(r, g, k, place)
                if choice not in chosen:
                    gain = place.worth - price - program.cost(choice)
                    if gain > 1e-7:
                        gains.append((gain, choice))
            if gains:
                gains.sort(key=lambda e: -e[0])
                more += (choice for _, choice in gains[:PRICED_IN])
                slots = self.problem.requests[r].slots
                slack += gains[0][0] * wanted[r] * slots.count(slots[k])
        return more, slack

    def _expanded(self, counts: dict[Choice, float], wanted: Sequence[int]) -> Starts | None:
        """A plan of the `wanted` tasks by these counts; None if not all of them find a place."""
        placed = expand(self.problem, counts, wanted)
        starts = complete(self.problem, placed, only=set(wanted)).starts
        return starts if len(starts) == len(wanted) else None
