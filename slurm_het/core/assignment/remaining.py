"""What is still free while tasks are put somewhere one by one, and what it is worth to a slot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from typing import NamedTuple

from slurm_het.core.assignment.prices import Cell, Load, NodePrices, Room
from slurm_het.core.assignment.problem import Need, PRequest, Problem, PSlot, SlotChoice

ROUNDING = 1e-9
"""Sums of floating-point numbers in another order differ by less."""


class Offer(NamedTuple):
    """The best devices of a node for those who ask for the same, their cells where there are
    prices, and the Σ w of them."""

    devices: tuple[int, ...]
    cells: tuple[Cell, ...]
    weight: float


class FreshAlike(NamedTuple):
    """What fresh nodes have in common for those who ask for the same devices: the cells of those
    that they would take, the Σ w of these, and the p at which the node is worth least."""

    cells: tuple[Cell, ...]
    weight: float
    at: int

    @property
    def priced(self) -> bool:
        """Whether all the devices have a table."""
        return (-1, 0) not in self.cells


class FreshGroup(NamedTuple):
    """States of fresh nodes, which are worth at most so much to a slot; `alike` with prices."""

    most: float
    states: Set[int]
    alike: FreshAlike | None = None


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
        self._fresh_worth: dict[tuple[int, int, int, int], float | None] = {}
        self._offers: dict[int, dict[tuple[int, int, int], Offer | None]] = {}
        self._rooms: dict[int, Room] = {}
        self._fresh_rooms: dict[int, Room] = {}
        self._alike: dict[tuple[int, int, int], dict[FreshAlike, set[int]]] = {}

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
            self._offers[n] = {}
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
        offer = self._offer(request, slot, n)
        return offer.devices if offer else None

    def worth(self, request: PRequest, slot: PSlot, n: int) -> float | None:
        """What node n is worth to a slot: Σ w of those devices. None if the slot does not fit."""
        best = self.best(request, slot, n)
        return best[0] if best else None

    def best(self, request: PRequest, slot: PSlot, n: int) -> tuple[float, tuple[int, ...]] | None:
        """What the best devices of node n are worth to a slot, and which they are; with prices the
        first ones."""
        offer = self._offer(request, slot, n)
        if offer is None:
            return None
        prices = self.problem.prices
        price = self._price(prices, request, slot, n, offer.cells) if prices else 0.0
        return slot.devices * price + offer.weight, offer.devices

    def _offer(self, request: PRequest, slot: PSlot, n: int) -> Offer | None:
        """The best devices of node n, if the slot fits. Of a node that something was put on it is
        remembered: many ask for the same devices, with other CPUs."""
        if not self.holds(slot, n):
            return None
        if not self.version[n]:
            return self._new_offer(request, slot.devices, n)
        known, key = self._offers[n], (request.weights, request.memory_gib, slot.devices)
        if key not in known:
            known[key] = self._new_offer(request, slot.devices, n)
        return known[key]

    def _new_offer(self, request: PRequest, count: int, n: int) -> Offer | None:
        """The best `count` devices of node n, if so many serve."""
        serving = self.serving(request, n)
        if len(serving) < count:
            return None
        weights, devices = self.problem.weights[request.weights], self.problem.devices
        prices = self.problem.prices
        if prices is None and len(serving) > 1:
            serving.sort(key=lambda j: -weights[devices[j].state])
        chosen = tuple(serving[:count])
        # Slurm takes the first that serve, so what these cost is what it will cost.
        cells = tuple([self._place(prices, j) for j in chosen]) if prices else ()
        return Offer(chosen, cells, sum([weights[devices[j].state] for j in chosen]))

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
        load = self._load(prices, request, slot, slot.need[self.problem.nodes[n].state])
        return prices.weight(load, self._room(prices, n), taken)

    def _load(self, prices: NodePrices, request: PRequest, slot: PSlot, need: Need) -> Load:
        """What a slot is to a node where it needs so much."""
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
        load = self._load(prices, request, slot, slot.need[self.problem.nodes[n].state])
        return load, self._room(prices, n), taken

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

    def fresh_groups(self, request: PRequest, slot: PSlot, states: Set[int]) -> list[FreshGroup]:
        """Those of the states of which a fresh node serves a slot, in groups.

        Of many states few are ever worth a look, since the best one is all that is asked for.
        """
        prices = self.problem.prices
        if prices is None or not states:
            return [FreshGroup(math.inf, states)]
        load = self._load(prices, request, slot, slot.least_need)
        groups: list[FreshGroup] = []
        for alike, members in self._groups(prices, request, slot.devices).items():
            if here := members & states:
                price = prices.most(load, alike.cells, alike.at) if alike.priced else 0.0
                most = slot.devices * price + alike.weight + ROUNDING
                groups.append(FreshGroup(most, here, alike))
        return groups

    def fresh_worths(
        self, request: PRequest, slot: PSlot, group: FreshGroup
    ) -> Iterator[tuple[float, int]]:
        """What a fresh node is worth to a slot, and its state, for those states of the group that
        have one."""
        prices, alike = self.problem.prices, group.alike
        for s in group.states:
            if not (fresh := self.fresh[s]):
                continue
            if prices and alike:
                price = self._price(prices, request, slot, fresh[-1], alike.cells)
                yield slot.devices * price + alike.weight, s
            elif (worth := self._unpriced(request, slot.devices, s)) is not None:
                yield worth, s

    def _groups(
        self, prices: NodePrices, request: PRequest, count: int
    ) -> dict[FreshAlike, set[int]]:
        """The states of fresh nodes of which so many devices serve a request."""
        key = request.weights, request.memory_gib, count
        if key in self._alike:
            return self._alike[key]
        found = self._alike[key] = {}
        for s, fresh in self.fresh.items():
            if fresh and (offer := self._new_offer(request, count, fresh[-1])):
                at = prices.prices.valued(self._room(prices, fresh[-1])).at
                found.setdefault(FreshAlike(offer.cells, offer.weight, at), set()).add(s)
        return found

    def _unpriced(self, request: PRequest, count: int, s: int) -> float | None:
        """The worth of a fresh node without prices; remembered, since many requests ask it."""
        key = request.weights, request.memory_gib, count, s
        if key not in self._fresh_worth:
            offer = self._new_offer(request, count, self.fresh[s][-1])
            self._fresh_worth[key] = offer.weight if offer else None
        return self._fresh_worth[key]
