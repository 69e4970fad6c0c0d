"""From counts to nodes and devices: large slots first, each on the fullest node that has room."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from slurm_het.core.assignment.first_fit import Starts
from slurm_het.core.assignment.problem import PRequest, Problem, PSlot, SlotChoice
from slurm_het.core.assignment.remaining import Remaining
from slurm_het.solve.pooled.choices import Choice, Place


def expand(problem: Problem, counts: Mapping[Choice, float], wanted: Sequence[int]) -> Starts:
    """Start the `wanted` tasks where `counts` says; those that find no room there are left out.

    Fractions of a count come after its whole part, the largest first.
    """
    places: dict[tuple[int, int, int], list[Place]] = defaultdict(list)
    for choice, _ in sorted(_copies(counts), key=lambda entry: entry[1]):
        places[choice[:3]].append(choice.place)  # consumed from the end
    tasks = sorted(wanted, key=lambda t: _size(problem.request(t)), reverse=True)
    expansion = _Expansion(problem, places)
    return {t: choices for t in tasks if (choices := expansion.start(t))}


def together(problem: Problem, starts: Starts) -> dict[int, tuple[SlotChoice, ...]]:
    """The same tasks on nodes and devices of the same states, on as few nodes as that takes.

    To Σ w·x nodes in one state are one as good as the other. To the tasks that come they are not:
    what is left whole has room for large ones.
    """
    counts: Counter[Choice] = Counter()
    for t, choices in starts.items():
        r, request = problem.tasks[t].request, problem.request(t)
        places = [_place(problem, choice) for choice in choices]
        group = request.best_group({place.state for place in places})
        for slot, place in zip(request.slots, places, strict=True):
            counts[Choice(r, group, request.slots.index(slot), place)] += 1
    moved = expand(problem, counts, list(starts))
    return {t: moved[t] if len(moved) == len(starts) else starts[t] for t in starts}


def _place(problem: Problem, choice: SlotChoice) -> Place:
    states = Counter(problem.devices[j].state for j in choice.devices)
    return Place(0.0, problem.nodes[choice.node].state, tuple(sorted(states.items())))


def _copies(counts: Mapping[Choice, float]) -> list[tuple[Choice, float]]:
    """Each choice as often as its count says, with 1; and once with the fraction that is left."""
    copies: list[tuple[Choice, float]] = []
    for choice, count in counts.items():
        whole = int(count + 1e-6)
        copies += [(choice, 1.0)] * whole
        if count - whole > 1e-6:
            copies.append((choice, count - whole))
    return copies


def _size(request: PRequest) -> tuple[int, int, int]:
    """Requests of many whole devices are larger than those of few, and shares are smaller."""
    slot = max(request.slots, key=lambda s: s.devices)
    cpus = max((need.cpus for need in slot.need.values()), default=0)
    return slot.devices if not request.memory_gib else 0, request.memory_gib, cpus


class _Expansion:
    """What is placed so far, and the places left by request, group and slot.

    `used` are the nodes that tasks were put on, by state and in that order.
    """

    def __init__(self, problem: Problem, places: dict[tuple[int, int, int], list[Place]]) -> None:
        self.problem = problem
        self.places = places
        self.remaining = Remaining(problem)
        self.used: dict[int, dict[int, None]] = defaultdict(dict)

    def start(self, t: int) -> tuple[SlotChoice, ...] | None:
        """A task's choices, which are taken; None if its places have no room."""
        r, request = self.problem.tasks[t].request, self.problem.request(t)
        for g in self._groups(r, request):
            if choices := self._in_group(r, request, g):
                self.remaining.take(request, choices)
                for choice in choices:
                    used = self.used[self.problem.nodes[choice.node].state]
                    used.setdefault(choice.node)
                return choices
        return None

    def _groups(self, r: int, request: PRequest) -> list[int]:
        """The groups with places for every slot, the one with the most first."""
        many = Counter(map(request.slots.index, request.slots))
        groups = range(len(request.groups)) if len(request.slots) > 1 else range(1)
        left = {g: min(len(self.places[r, g, k]) // n for k, n in many.items()) for g in groups}
        return [g for g in sorted(groups, key=lambda g: -left[g]) if left[g]]

    def _in_group(self, r: int, request: PRequest, g: int) -> tuple[SlotChoice, ...] | None:
        chosen: list[SlotChoice] = []
        taken: list[tuple[list[Place], Place]] = []
        for slot in request.slots:
            places = self.places[r, g, request.slots.index(slot)]
            busy = {choice.node for choice in chosen}
            choice = None
            while places and choice is None:
                place = places.pop()
                choice = self._at(request, slot, place, busy)
                if choice:
                    taken.append((places, place))
            if choice is None:
                for where, place in reversed(taken):
                    where.append(place)
                return None
            chosen.append(choice)
        return tuple(chosen)

    def _at(
        self, request: PRequest, slot: PSlot, place: Place, busy: set[int]
    ) -> SlotChoice | None:
        remaining = self.remaining
        used = sorted(self.used[place.state], key=lambda n: remaining.cpus[n])
        for n in (*used, *remaining.fresh[place.state][: -len(busy) - 2 : -1]):
            if n in busy or not remaining.holds(slot, n):
                continue
            if devices := self._devices(request, n, place):
                return SlotChoice(n, devices)
        return None

    def _devices(self, request: PRequest, n: int, place: Place) -> tuple[int, ...] | None:
        """Devices of these states on the node: shares go to the fullest ones with room."""
        serving, chosen = self.remaining.serving(request, n), []
        for state, count in place.devices:
            mine = [j for j in serving if self.problem.devices[j].state == state]
            if len(mine) < count:
                return None
            if request.memory_gib:
                mine.sort(key=lambda j: self.remaining.free_gib[j])
            chosen += mine[:count]
        return tuple(chosen)
