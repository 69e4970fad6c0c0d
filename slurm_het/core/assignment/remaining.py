"""What is still free while tasks are put somewhere one by one, and what it is worth to a slot."""

from __future__ import annotations

from typing import NamedTuple

from slurm_het.core.assignment.prices import Cell, Load, NodePrices, Room
from slurm_het.core.assignment.problem import PRequest, Problem, PSlot, SlotChoice


class _Serving(NamedTuple):
    """The devices of a fresh node that serve a request, in their order: their cells and weights."""

    cells: tuple[Cell, ...]
    weights: tuple[float, ...]


class Remaining:
    """What is still free while tasks are put somewhere one by one.

    `cpus` and `memory_mib` are by node. `free_gib` and `whole` (whether it may be taken whole) are
    by device, of the nodes that were looked at: see `open`. `fresh[s]` are the nodes of state s
    that nothing was put on, the first one last; `touched` are all others, once for each time that
    something was put there, which is also their `version`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cpus = [node.cpus for node in problem.nodes]
        self.memory_mib = [node.memory_mib for node in problem.nodes]
        self.free_gib: dict[int, int] = {}
        self.whole: dict[int, bool] = {}
        self.fresh: dict[int, list[int]] = {}
        for n in range(len(problem.nodes) - 1, -1, -1):
            self.fresh.setdefault(problem.nodes[n].state, []).append(n)
        self.touched: list[int] = []
        self.version = [0] * len(problem.nodes)
        self._fresh_worth: dict[tuple[object, ...], float | None] = {}
        self._rooms: dict[int, Room] = {}
        self._fresh_rooms: dict[int, Room] = {}
        self._fresh_serving: dict[tuple[int, int, int], _Serving] = {}

    def open(self, n: int) -> tuple[int, ...]:
        """The devices of node n; from now on they are in `free_gib` and `whole`.

        Of a large cluster few nodes are ever looked at.
        """
        mine = self.problem.nodes[n].devices
        if mine and mine[0] not in self.free_gib:
            for j in mine:
                device = self.problem.devices[j]
                self.free_gib[j] = device.free_gib
                self.whole[j] = device.whole
        return mine

    def take(self, request: PRequest, choices: tuple[SlotChoice, ...]) -> None:
        """Put a task where `choices` says."""
        for slot, choice in zip(request.slots, choices, strict=True):
            n = choice.node
            state = self.problem.nodes[n].state
            if n in (fresh := self.fresh[state]):
                fresh.remove(n)
            self.touched.append(n)
            self.version[n] += 1
            self._rooms.pop(n, None)
            need = slot.need[state]
            self.cpus[n] -= need.cpus
            self.memory_mib[n] -= need.memory_mib
            self.open(n)
            for j in choice.devices:
                self.whole[j] = False
                self.free_gib[j] -= request.memory_gib or self.free_gib[j]

    def holds(self, slot: PSlot, n: int) -> bool:
        """Whether node n has the CPUs and host memory for a slot."""
        return slot.need[self.problem.nodes[n].state].fits(self.cpus[n], self.memory_mib[n])

    def serving(self, request: PRequest, n: int) -> list[int]:
        """The devices of node n that can still serve a request, in their order."""
        mine, asked, devices = self.open(n), request.memory_gib, self.problem.devices
        weights = self.problem.weights[request.weights]
        if asked:
            free_gib = self.free_gib
            return [j for j in mine if free_gib[j] >= asked and devices[j].state in weights]
        whole = self.whole
        return [j for j in mine if whole[j] and devices[j].state in weights]

    def devices(self, request: PRequest, slot: PSlot, n: int) -> tuple[int, ...] | None:
        """The best devices of node n, or None if the slot does not fit."""
        best = self.best(request, slot, n)
        return best[1] if best else None

    def worth(self, request: PRequest, slot: PSlot, n: int) -> float | None:
        """What node n is worth to a slot: Σ w of those devices. None if the slot does not fit."""
        best = self.best(request, slot, n)
        return best[0] if best else None

    def best(self, request: PRequest, slot: PSlot, n: int) -> tuple[float, tuple[int, ...]] | None:
        """What the best devices of node n are worth to a slot, and which they are; with prices the
        first ones."""
        if not self.holds(slot, n):
            return None
        serving = self.serving(request, n)
        if len(serving) < slot.devices:
            return None
        weights, devices = self.problem.weights[request.weights], self.problem.devices
        prices = self.problem.prices
        if prices:  # Slurm takes the first that serve, so what these cost is what it will cost
            chosen = tuple(serving[: slot.devices])
            taken = tuple([self._place(prices, j) for j in chosen])
            price = slot.devices * self._price(prices, request, slot, n, taken)
        else:
            if len(serving) > 1:
                serving.sort(key=lambda j: -weights[devices[j].state])
            chosen, price = tuple(serving[: slot.devices]), 0.0
        return price + sum([weights[devices[j].state] for j in chosen]), chosen

    def _price(
        self,
        prices: NodePrices,
        request: PRequest,
        slot: PSlot,
        n: int,
        taken: tuple[Cell, ...],
    ) -> float:
        """The weight, by the prices, of each device that a slot takes of node n."""
        if (-1, 0) in taken:
            return 0.0
        return prices.weight(self._load(prices, request, slot, n), self._room(prices, n), taken)

    def _load(self, prices: NodePrices, request: PRequest, slot: PSlot, n: int) -> Load:
        """What a slot is to node n."""
        need = slot.need[self.problem.nodes[n].state]
        memory_mib = need.memory_mib if prices.prices.has_memory else 0
        return Load(slot.devices, request.memory_gib, need.cpus, memory_mib)

    def cost(self, request: PRequest, slot: PSlot, choice: SlotChoice) -> float:
        """What it costs by the prices, as a weight, to put a slot on what is still free; 0 without
        prices."""
        prices = self.problem.prices
        asked = self._priced(request, slot, choice)
        return prices.counts * prices.cost(*asked) if prices and asked else 0.0

    def places_lost(
        self, request: PRequest, slot: PSlot, choice: SlotChoice
    ) -> tuple[tuple[int, int], ...]:
        """How many places of each protected kind a choice takes; none without prices."""
        prices = self.problem.prices
        asked = self._priced(request, slot, choice)
        return prices.prices.loss(*asked).places if prices and asked else ()

    def _priced(
        self, request: PRequest, slot: PSlot, choice: SlotChoice
    ) -> tuple[Load, Room, tuple[Cell, ...]] | None:
        """What the prices are asked of a choice; None without any for all its devices."""
        prices, n = self.problem.prices, choice.node
        if prices is None:
            return None
        self.open(n)
        taken = tuple([self._place(prices, j) for j in choice.devices])
        if any(table < 0 for table, _ in taken):
            return None
        return self._load(prices, request, slot, n), self._room(prices, n), taken

    def places_held(self, n: int) -> tuple[int, ...]:
        """How many places of each protected kind node n has; none without prices."""
        prices = self.problem.prices
        if prices is None:
            return ()
        room = self._room(prices, n)
        return prices.prices.held(room.cpus, prices.prices.whole(room.devices))

    def term(self, request: PRequest, choice: SlotChoice) -> float:
        """What of the weight of each device of a choice the prices say; 0 without any."""
        prices, n = self.problem.prices, choice.node
        slot = next((s for s in request.slots if s.devices == len(choice.devices)), None)
        if prices is None or slot is None:
            return 0.0
        mine = self.open(n)
        taken = tuple(self._place(prices, j) for j in choice.devices if j in mine)
        return self._price(prices, request, slot, n, taken)

    def _place(self, prices: NodePrices, j: int) -> Cell:
        """The table of a device and its row now; -1 where there is no table for it."""
        table = prices.tables.get(self.problem.devices[j].state, -1)
        if table < 0:
            return -1, 0
        return table, prices.prices.tables[table].row(self.free_gib[j], self.whole[j])

    def _room(self, prices: NodePrices, n: int) -> Room:
        """What is free on node n now."""
        fresh, state = not self.version[n], self.problem.nodes[n].state
        known, key = (self._fresh_rooms, state) if fresh else (self._rooms, n)
        if key not in known:
            places = [self._place(prices, j) for j in self.open(n)]
            memory = self.memory_mib[n] if prices.prices.has_memory else 0
            devices = tuple(sorted(place for place in places if place[0] >= 0))
            known[key] = Room(self.cpus[n], memory, devices)
        return known[key]

    def fresh_worth(self, request: PRequest, slot: PSlot, s: int) -> float | None:
        """What a fresh node of a state is worth to a slot. None if the slot does not fit.

        It is remembered, since many requests ask it.
        """
        if not (fresh := self.fresh[s]):
            return None
        key: tuple[object, ...] = (request.weights, slot.devices, s)
        if self.problem.prices:
            key = (*key, request.memory_gib, slot.need[s])
        if key not in self._fresh_worth:
            self._fresh_worth[key] = (
                self._priced_alone(self.problem.prices, request, slot, s)
                if self.problem.prices
                else self._alone(request, slot.devices, fresh[-1])
            )
        return self._fresh_worth[key]

    def _priced_alone(
        self, prices: NodePrices, request: PRequest, slot: PSlot, s: int
    ) -> float | None:
        """`worth` of a fresh node: all that fits on it has the room, and many ask for the same
        devices."""
        key, n = (request.weights, request.memory_gib, s), self.fresh[s][-1]
        serving = self._fresh_serving.get(key)
        if serving is None:
            weights, devices = self.problem.weights[request.weights], self.problem.devices
            those = self.serving(request, n)
            serving = self._fresh_serving[key] = _Serving(
                tuple([self._place(prices, j) for j in those]),
                tuple([weights[devices[j].state] for j in those]),
            )
        count = slot.devices
        if len(serving.cells) < count:
            return None
        price = count * self._price(prices, request, slot, n, serving.cells[:count])
        return price + sum(serving.weights[:count])

    def _alone(self, request: PRequest, count: int, n: int) -> float | None:
        weights, devices = self.problem.weights[request.weights], self.problem.devices
        worth = [
            weights[state]
            for j in self.problem.nodes[n].devices
            if (state := devices[j].state) in weights
        ]
        if len(worth) < count:
            return None
        return sum(worth if len(worth) == count else sorted(worth, reverse=True)[:count])
