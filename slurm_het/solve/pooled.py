"""The formulation for large clusters: tasks, nodes and devices in the same state as counts.

    v_c    = how many slots of a request go to nodes of a state, on devices of these states (c: a
             choice of request, slot, group, node state and device states)
    y_t    = 1 if a task in question starts; f_r tasks of request r must; y_rg in group g

    subject to  sum_c v_c                = m_k (f_r + sum_t y_t)   each r, g, k: m_k times slot k
                sum_c CPUs, host memory  <= all that the nodes of the state have
                sum_c GiB                <= all that the devices of the state have
                sum_{c > half} v_c       <= nodes (devices) of the state, as two do not fit on one
                sum_rg [m_r / 2] y_rg    <= pairs of slots that the nodes of such groups hold

What is left out, that slots do not divide up evenly among the nodes of a state, makes it a
relaxation: its optimum bounds every plan. The counts are then expanded to nodes and devices, and
what finds no place there is put elsewhere first-fit, so that the plan is feasible, and as good as
its distance from the bound says. Where expanding loses nothing the plan is optimal.

Of the choices only those that may matter enter the model: the best ones of each request, then
those that the prices of the LP relaxation show to be worth it, until there is none.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import mip

from slurm_het.core.greedy import Starts, complete, value
from slurm_het.core.problem import Problem, PSlot, SlotChoice
from slurm_het.solve.expand import Choice, Place, expand
from slurm_het.solve.lexicographic import Answer, OutOfTimeError

SolverName = Literal["highs", "cbc"]

MOST_MIXES = 24  # ways to take a slot's devices on a node of mixed states
FIRST_CHOICES = 6  # per request, before there are prices; fewer where there are many requests
FIRST_IN_ALL = 1_500
PRICED_IN = 25  # choices of one request that a round of pricing may add
ROUNDS = 12
LEVEL_CHOICES = 40_000  # a level of starts holds all choices, up to so many
CHOICE_SECONDS = 60e-6  # to put a choice into a model, and as long again to solve it
ALL_CHOICES = 2_000  # so many are not worth choosing among
LP_SHARE = 0.7  # of the time, for the LPs
SMALL_GAIN = 0.25  # of the gap allowed


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Devices in one state: how many on one node, free GiB of each, whether takeable whole."""

    number: int
    per_node: int
    gib: int
    whole: bool


Resource = tuple[str, int, int]
"""A row of what is limited: what, of which node state, of which device state (or -1)."""


class Taken(NamedTuple):
    """Of a choice: how many such slots fit if nothing else is there, and what one takes by row."""

    most: int
    uses: tuple[tuple[Resource, int], ...]


class Pairs(NamedTuple):
    """Requests of several slots, with their groups, that have room for `most` pairs of slots."""

    of: tuple[tuple[int, int], ...]
    most: int


class Pooled:
    """The problem in counts."""

    def __init__(self, problem: Problem, solver: SolverName) -> None:
        self.problem, self.solver = problem, solver
        self.nodes = Counter(node.state for node in problem.nodes)
        self.first = {node.state: node for node in reversed(problem.nodes)}
        self.devices = {s: self._devices(s) for s in self.first}
        self.groups = {
            r: q.groups if len(q.slots) > 1 else (frozenset().union(*q.groups),)
            for r, q in enumerate(problem.requests)
        }
        self._taken: dict[Choice, Taken] = {}
        self._places: dict[tuple[int, int, int, int], list[Place]] = {}
        self._ranked: dict[tuple[int, int, int, frozenset[int]], list[Place]] = {}

    def _devices(self, s: int) -> tuple[DeviceState, ...]:
        mine = [self.problem.devices[j] for j in self.first[s].devices]
        counts = Counter(d.state for d in mine)
        one = {d.state: d for d in mine}
        return tuple(
            DeviceState(k, n, one[k].memory - one[k].used, one[k].whole and not one[k].used)
            for k, n in counts.items()
        )

    def able(self, deadline: float) -> list[int]:
        """The tasks that could start if they were alone."""
        able: set[int] = set()
        for r in range(len(self.problem.requests)):
            if time.monotonic() > deadline:
                raise OutOfTimeError
            if any(self._has_place(r, g) for g in range(len(self.groups[r]))):
                able.add(r)
        return [t for t, task in enumerate(self.problem.tasks) if task.request in able]

    def _has_place(self, r: int, g: int) -> bool:
        slots = self.problem.requests[r].slots
        for slot, many in Counter(map(slots.index, slots)).items():
            nodes = 0
            for place in self.choices(r, g, slot):
                nodes += self.nodes[place.state]
                if nodes >= many:
                    break
            if nodes < many:
                return False
        return True

    def choices(self, r: int, g: int, k: int) -> Iterator[Place]:
        """The places for a slot, the one with the highest Σ w first."""
        request = self.problem.requests[r]
        slot, group = request.slots[k], self.groups[r][g]
        key = (request.weights, request.memory, slot.devices, group)
        if key not in self._ranked:
            found = [p for s in group for p in self._at(request.weights, request.memory, slot, s)]
            self._ranked[key] = sorted(found, reverse=True)
        return (p for p in self._ranked[key] if p.state in slot.need and self._fits(slot, p.state))

    def _fits(self, slot: PSlot, s: int) -> bool:
        cpus, memory = slot.need[s]
        node = self.first[s]
        return cpus <= max(0, node.cpus) and memory <= max(0, node.memory)

    def _at(self, table: int, memory: int, slot: PSlot, s: int) -> list[Place]:
        key = (table, memory, slot.devices, s)
        if key not in self._places:
            weights = self.problem.weights[table]
            fit = [
                d
                for d in self.devices[s]
                if d.number in weights and (d.gib >= memory if memory else d.whole)
            ]
            fit.sort(key=lambda d: -weights[d.number])
            self._places[key] = [
                Place(sum(weights[d] * n for d, n in mix), s, mix)
                for mix in _mixes(fit, slot.devices)
            ]
        return self._places[key]

    def taken(self, choice: Choice) -> Taken:
        """What one such slot takes."""
        if choice not in self._taken:
            self._taken[choice] = Taken(self._most(choice), tuple(self._uses(choice)))
        return self._taken[choice]

    def _most(self, choice: Choice) -> int:
        """How many such slots the nodes of the state could hold if nothing else was there."""
        request, place = self.problem.requests[choice.request], choice.place
        node = self.first[place.state]
        cpus, memory = request.slots[choice.slot].need[place.state]
        limits = [node.cpus // cpus] if cpus else []
        limits += [node.memory // memory] if memory else []
        taken = dict(place.devices)
        for d in self.devices[place.state]:
            if d.number in taken:
                each = d.gib // request.memory if request.memory else 1
                limits.append(d.per_node * each // taken[d.number])
        return self.nodes[place.state] * max(0, min(limits))

    def _uses(self, choice: Choice) -> Iterator[tuple[Resource, int]]:
        """What one such slot takes, by row."""
        request, place = self.problem.requests[choice.request], choice.place
        s, node = place.state, self.first[place.state]
        cpus, memory = request.slots[choice.slot].need[s]
        if cpus:
            yield ("cpus", s, -1), cpus
        if memory:
            yield ("memory", s, -1), memory
        if 2 * cpus > max(0, node.cpus):
            yield ("half cpus", s, -1), 1
        if 2 * memory > max(0, node.memory):
            yield ("half memory", s, -1), 1
        for d in self.devices[s]:
            count = dict(place.devices).get(d.number, 0)
            if count:
                yield ("gib", s, d.number), count * (request.memory or d.gib)
                if 2 * (request.memory or d.gib) > d.gib:
                    yield ("half gib", s, d.number), count
                if 2 * count > d.per_node and 2 * (request.memory or d.gib) > d.gib:
                    yield ("half devices", s, d.number), 1

    def limit(self, key: Resource) -> int:
        """How much of a resource there is."""
        what, s, number = key
        nodes, node = self.nodes[s], self.first[s]
        match what:
            case "cpus":
                return nodes * max(0, node.cpus)
            case "memory":
                return nodes * max(0, node.memory)
            case "gib" | "half gib":
                d = next(d for d in self.devices[s] if d.number == number)
                return nodes * d.per_node * (d.gib if what == "gib" else 1)
            case _:
                return nodes

    @cached_property
    def pairs(self) -> list[Pairs]:
        """For each set of nodes and size of slot of tasks on several nodes: how many pairs fit.

        Without it the LP has half a task on the odd node, and bounds that by several per cent.
        """
        several = {
            (r, g): (group, min(slot.devices for slot in request.slots))
            for r, request in enumerate(self.problem.requests)
            if len(request.slots) > 1 and not request.memory
            for g, group in enumerate(self.groups[r])
        }
        found = []
        for group, size in dict.fromkeys(several.values()):
            of = tuple(key for key, (g, k) in several.items() if k >= size and g <= group)
            room = sum(self.nodes[s] * (self._whole(s) // size) for s in group)
            found.append(Pairs(of, room // 2))
        return found

    def _whole(self, s: int) -> int:
        return sum(d.per_node for d in self.devices[s] if d.whole)

    def model(self, tasks: Sequence[int], fixed: Sequence[int], deadline: float) -> PooledModel:
        """The model in which `tasks` may start and those in `fixed` must."""
        return PooledModel(self, tasks, fixed, deadline)


def _mixes(fit: Sequence[DeviceState], count: int) -> list[tuple[tuple[int, int], ...]]:
    """The ways to take `count` devices, best first; no more than MOST_MIXES."""
    found: list[tuple[tuple[int, int], ...]] = []

    def extend(i: int, left: int, mix: tuple[tuple[int, int], ...]) -> None:
        if len(found) == MOST_MIXES:
            return
        if not left:
            found.append(mix)
        elif i < len(fit):
            for n in range(min(left, fit[i].per_node), -1, -1):
                extend(i + 1, left - n, (*mix, (fit[i].number, n)) if n else mix)

    extend(0, count, ())
    return found


class PooledModel:
    """One model: `tasks` may start, those in `fixed` must; all the others do not start."""

    def __init__(
        self, pooled: Pooled, tasks: Sequence[int], fixed: Sequence[int], deadline: float
    ) -> None:
        self.pooled, self.problem = pooled, pooled.problem
        self.tasks, self.deadline = tasks, deadline
        must = set(fixed)
        request = {t: self.problem.tasks[t].request for t in tasks}
        self.fixed = Counter(request[t] for t in tasks if t in must)
        self.open = [t for t in tasks if t not in must]
        self.requests = sorted(set(request.values()))
        self.levels: list[int] = []
        self.known: Starts = {}
        self.complete = False  # whether every choice is in the model: then its bound is one of all

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.levels = []

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        self.levels = list(tasks)

    def start_from(self, starts: Starts) -> None:
        """A feasible plan: what it chose enters the model, and its value is there to be beaten."""
        self.known = {t: starts[t] for t in self.tasks if t in starts}

    def optimise(self, seconds: float, gap: float, gap_abs: float) -> Answer:
        """Solve for at most so long; raises OutOfTimeError if there is no time at all."""
        if seconds <= 0:
            raise OutOfTimeError
        until = min(self.deadline, time.monotonic() + seconds)
        return self._starts(until) if self.levels else self._weights(until, gap, gap_abs)

    # --- which tasks start ---

    def _starts(self, until: float) -> Answer:
        time_for = int((until - time.monotonic()) / (2 * CHOICE_SECONDS))
        chosen = self._every_choice(min(LEVEL_CHOICES, time_for))
        if chosen is None or time.monotonic() > until:
            return Answer(None, proven=False, bound=math.inf)
        master = _Master(self, list(chosen), self.pooled.solver)
        master.maximise_starts(self.levels)
        solved = master.solve(until, 0.0, 0.5)
        if not solved:
            return Answer(None, proven=False, bound=math.inf)
        started = {t for t in self.open if master.y[t].x > 0.5}
        if started == self.known.keys() & set(self.open):
            return Answer(dict(self.known), proven=solved == "optimal", bound=math.inf)
        wanted = [t for t in self.tasks if t in started or t not in self.open]
        starts = self._expanded(master.counts(), wanted)
        return Answer(starts, proven=solved == "optimal", bound=math.inf)

    def _every_choice(self, most: int) -> dict[Choice, None] | None:
        """All choices there are; None if they are more than `most`."""
        chosen: dict[Choice, None] = {}
        for keys in self._keys():
            for place in self.pooled.choices(*keys):
                chosen[Choice(*keys, place)] = None
            if len(chosen) > most:
                return None
        return chosen

    def _keys(self) -> Iterator[tuple[int, int, int]]:
        for r in self.requests:
            slots = self.problem.requests[r].slots
            for g in range(len(self.pooled.groups[r])):
                for k in dict.fromkeys(map(slots.index, slots)):
                    yield r, g, k

    # --- where they start ---

    def _weights(self, until: float, gap: float, gap_abs: float) -> Answer:
        began = time.monotonic()
        bound, master = self._relaxed(began + (until - began) * LP_SHARE, gap)
        best: Starts | None = self.known if len(self.known) == len(self.tasks) else None
        if master is not None:
            best = self._better(best, self._expanded(master.counts(), self.tasks))
        if master is not None and not self._close(best, bound, gap, gap_abs):
            if self.pooled.solver != "highs":
                master = _Master(self, master.chosen, self.pooled.solver)
                master.maximise_weights()
            if until > time.monotonic() and (solved := master.solve(until, gap, gap_abs)):
                best = self._better(best, self._expanded(master.counts(), self.tasks))
                if solved == "optimal" and self.complete:
                    bound = min(bound, master.bound)
        return Answer(best, proven=self._close(best, bound, gap, gap_abs), bound=bound)

    def _close(self, starts: Starts | None, bound: float, gap: float, gap_abs: float) -> bool:
        if starts is None or math.isinf(bound):
            return False
        reached = value(self.problem, starts)
        return bound - reached <= max(gap_abs, gap * abs(reached))

    def _better(self, one: Starts | None, other: Starts | None) -> Starts | None:
        if one is None or other is None:
            return other if one is None else one
        return max(one, other, key=lambda s: value(self.problem, s))

    def _relaxed(self, until: float, gap: float) -> tuple[float, _Master | None]:
        """The bound of the LP relaxation, and the model with the choices worth keeping.

        Choices that could add no more than a part of the gap are not looked for.
        """
        chosen = self._first_choices()
        bound, master = math.inf, None
        for _ in range(ROUNDS):
            if time.monotonic() > until:
                break
            trial = _Master(self, list(chosen), "highs")  # CBC prints while it solves an LP
            trial.maximise_weights()
            reached = trial.relax(until)
            if reached is None:
                break
            master = trial
            more, slack = self._price(trial, chosen)
            bound = min(bound, reached + slack)
            if slack <= SMALL_GAIN * gap * abs(reached):
                break
            chosen |= dict.fromkeys(more)
        return bound, master

    def _first_choices(self) -> dict[Choice, None]:
        chosen = self._every_choice(ALL_CHOICES)
        if chosen is not None:
            self.complete = True
            return chosen
        chosen = {}
        wanted = Counter(self.problem.tasks[t].request for t in self.tasks)
        first = max(1, min(FIRST_CHOICES, FIRST_IN_ALL // max(1, len(self.requests))))
        for r, g, k in self._keys():
            slot_count = self.problem.requests[r].slots.count(self.problem.requests[r].slots[k])
            room = 0
            for i, place in enumerate(self.pooled.choices(r, g, k)):
                if i >= first and room >= 2 * wanted[r] * slot_count:
                    break
                chosen[Choice(r, g, k, place)] = None
                room += self.pooled.nodes[place.state]
        for t, choices in self.known.items():
            chosen |= dict.fromkeys(self._choices_of(t, choices))
        return chosen

    def _choices_of(self, t: int, choices: Sequence[SlotChoice]) -> Iterator[Choice]:
        r = self.problem.tasks[t].request
        request, weights = self.problem.requests[r], self.problem.weights
        states = {self.problem.nodes[c.node].state for c in choices}
        g = next(i for i, group in enumerate(self.pooled.groups[r]) if states <= group)
        for slot, choice in zip(request.slots, choices, strict=True):
            kinds = [self.problem.devices[j].state for j in choice.devices]
            worth = sum(weights[request.weights][kind] for kind in kinds)
            order = sorted(Counter(kinds).items(), key=lambda e: -weights[request.weights][e[0]])
            place = Place(worth, self.problem.nodes[choice.node].state, tuple(order))
            known = self.pooled._at(request.weights, request.memory, slot, place.state)
            same = next((p for p in known if sorted(p.devices) == sorted(order)), place)
            yield Choice(r, g, request.slots.index(slot), same)

    def _price(self, master: _Master, chosen: dict[Choice, None]) -> tuple[list[Choice], float]:
        """The choices left out that the prices show to be worth it, and by how much the bound
        grows for them: each task could at best gain its own best choice's."""
        prices = master.prices()
        wanted = Counter(self.problem.tasks[t].request for t in self.tasks)
        more: list[Choice] = []
        slack = 0.0
        for r, g, k in self._keys():
            price = prices[r, g, k]
            found: list[tuple[float, Choice]] = []
            for place in self.pooled.choices(r, g, k):
                if place.worth - price <= 1e-7:
                    break
                choice = Choice(r, g, k, place)
                if choice not in chosen:
                    gain = place.worth - price - master.cost(choice)
                    if gain > 1e-7:
                        found.append((gain, choice))
            if found:
                found.sort(key=lambda e: -e[0])
                more += (choice for _, choice in found[:PRICED_IN])
                slots = self.problem.requests[r].slots
                slack += found[0][0] * wanted[r] * slots.count(slots[k])
        return more, slack

    def _expanded(self, counts: dict[Choice, float], wanted: Sequence[int]) -> Starts | None:
        placed = expand(self.problem, counts, wanted)
        starts = complete(self.problem, placed, only=set(wanted)).starts
        return starts if len(starts) == len(wanted) else None


class _Master:
    """The counts and rows for some choices, as a python-mip model."""

    def __init__(self, owner: PooledModel, chosen: Sequence[Choice], solver: SolverName) -> None:
        self.pooled, self.problem = owner.pooled, owner.problem
        self.model = mip.Model(sense=mip.MAXIMIZE, solver_name=solver.upper())
        self.model.verbose = 0
        self.chosen = chosen
        self.taken = [self.pooled.taken(choice) for choice in chosen]
        self.v = [self._count(taken.most) for taken in self.taken]
        self.y = {t: self.model.add_var(var_type=mip.BINARY) for t in owner.open}
        self.rows: dict[tuple[object, ...], Any] = {}
        self.bound = math.inf
        self._demand(owner)
        self._capacities()

    def _count(self, most: int) -> Any:
        return self.model.add_var(var_type=mip.INTEGER, lb=0, ub=most)

    def _row(self, key: tuple[object, ...], of: Sequence[Any], by: Sequence[float], sense: str,
             limit: float) -> None:  # fmt: skip
        # The constructor is several times faster than xsum and comparisons of expressions.
        self.rows[key] = self.model.add_constr(mip.LinExpr(list(of), list(by), -limit, sense))

    def _demand(self, owner: PooledModel) -> None:
        by_key: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
        for choice, v in zip(self.chosen, self.v, strict=True):
            by_key[choice[:3]].append(v)
        open_tasks: dict[int, list[Any]] = defaultdict(list)
        for t in owner.open:
            mine = open_tasks[self.problem.tasks[t].request]
            if mine:  # of identical tasks the one of higher priority starts first
                self._row(("same", t), [self.y[t], mine[-1]], [1, -1], "<", 0)
            mine.append(self.y[t])
        inside_of: dict[tuple[int, int], Any] = {}
        for r in owner.requests:
            groups, slots = self.pooled.groups[r], self.problem.requests[r].slots
            starts, must = open_tasks.get(r, []), owner.fixed[r]
            if len(groups) > 1:
                inside = [self.model.add_var(var_type=mip.INTEGER, lb=0) for _ in groups]
                row = [*inside, *starts]
                self._row(("in", r), row, [1] * len(inside) + [-1] * len(starts), "=", must)
                inside_of |= {(r, g): y for g, y in enumerate(inside)}
            for g in range(len(groups)):
                ys, count = ([inside[g]], 0) if len(groups) > 1 else (starts, must)
                for k, many in Counter(map(slots.index, slots)).items():
                    mine = by_key[r, g, k]
                    by = [1] * len(mine) + [-many] * len(ys)
                    self._row(("slot", r, g, k), [*mine, *ys], by, "=", many * count)

        for pair in self.pooled.pairs:
            if mine := [key for key in pair.of if key in inside_of]:
                by = [len(self.problem.requests[r].slots) // 2 for r, _ in mine]
                self._row(("pairs", pair), [inside_of[key] for key in mine], by, "<", pair.most)

    def _capacities(self) -> None:
        loads: dict[Resource, tuple[list[Any], list[int]]] = {}
        largest: dict[Resource, int] = defaultdict(int)
        for v, (most, uses) in zip(self.v, self.taken, strict=True):
            for key, amount in uses:
                variables, amounts = loads.setdefault(key, ([], []))
                variables.append(v)
                amounts.append(amount)
                largest[key] += most * amount
        for key, (variables, amounts) in loads.items():
            if largest[key] > (limit := self.pooled.limit(key)):
                self._row(key, variables, amounts, "<", limit)

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.model.objective = mip.LinExpr(self.v, [c.place.worth for c in self.chosen])

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        powers = [float(2 ** (len(tasks) - 1 - i)) for i in range(len(tasks))]
        self.model.objective = mip.LinExpr([self.y[t] for t in tasks], powers)

    def relax(self, until: float) -> float | None:
        """The optimum of the LP relaxation; None without one."""
        status = self.model.optimize(max_seconds=max(0.01, until - time.monotonic()), relax=True)
        return float(self.model.objective_value) if status == _OPTIMAL else None

    def solve(self, until: float, gap: float, gap_abs: float) -> str:
        """`optimal`, `feasible`, or nothing."""
        model = self.model
        model.max_mip_gap, model.max_mip_gap_abs = gap, gap_abs
        if model.solver_name == mip.CBC:
            model.cuts = model.preprocess = 0  # with them CBC overruns its time limit many times
        status = model.optimize(max_seconds=max(0.01, until - time.monotonic()))
        if status == _OPTIMAL:
            self.bound = float(model.objective_bound)
            return "optimal"
        return "feasible" if status == mip.OptimizationStatus.FEASIBLE else ""

    def counts(self) -> dict[Choice, float]:
        """The values of the counts that are not 0."""
        return {c: v.x for c, v in zip(self.chosen, self.v, strict=True) if v.x > 1e-6}

    def prices(self) -> dict[tuple[int, int, int], float]:
        """What a slot's start is worth, by request, group and slot; for `cost` too."""
        self._prices: dict[tuple[object, ...], float] = {k: r.pi for k, r in self.rows.items()}
        return {key[1:]: pi for key, pi in self._prices.items() if key[0] == "slot"}  # type: ignore[misc]

    def cost(self, choice: Choice) -> float:
        """What a choice's resources cost."""
        prices = self._prices
        uses = self.pooled.taken(choice).uses
        return sum((amount * prices.get(key, 0.0) for key, amount in uses), 0.0)


_OPTIMAL = mip.OptimizationStatus.OPTIMAL
