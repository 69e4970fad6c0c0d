"""The cycles of a configuration, and the real gate where no pool is in plan."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.daemon.app import Daemon
from slurm_het.daemon.gate import closed_flag
from slurm_het.daemon.sides import Sides
from slurm_het.errors import LeadError, SlurmBusyError, SlurmError
from slurm_het.opener import Holds
from slurm_het.settings import Config
from slurm_het.solve.worker import solver_of
from tests.support.daemons import PATIENCE, running_daemon, until
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import config_text, marked, mixed, running


class BusySlurm(FakeSlurm):
    """A Slurm that may refuse to have the intake moved, or give no snapshot."""

    def __init__(self, gate: str = "UP") -> None:
        super().__init__(gate=gate)
        self.answered = 0.0
        self.busy = self.away = self.hangs = False
        self.read = 0  # how often all was
        self.moved: list[str] = []

    async def set_partition_state(self, partition: str, state: str) -> None:
        self.moved.append(state)
        if self.busy:
            raise SlurmBusyError("Unable to contact slurm controller")
        await super().set_partition_state(partition, state)

    async def snapshot(self) -> Any:
        if self.away:
            raise SlurmError("Unable to contact slurm controller")
        while self.hangs:
            await asyncio.sleep(0.01)
        self.read += 1
        return await super().snapshot()

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        while self.hangs:
            await asyncio.sleep(0.01)
        self.no_time = {key} if self.busy else set()
        await super().update_job(key, fields)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[BusySlurm]:
    """The Slurm of every hetd that is made. (hetd leaves no handler for SIGTERM; the tests have
    one.)"""
    made = BusySlurm()
    monkeypatch.setattr("slurm_het.daemon.app.client_of", lambda _settings: made)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write(path: Path, mode: str) -> None:
    text = config_text(path).replace("poll_seconds: 5", "poll_seconds: 0.1")
    (path / "het.yaml").write_text(f"mode: {mode}\n{text}")


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> BusySlurm:
    """The Slurm of shadow where another cycle goes first."""
    made = BusySlurm()
    monkeypatch.setattr("slurm_het.daemon.sides.client_of", lambda _settings: made)
    return made


def write_both(path: Path) -> None:
    """One pool in plan, the others in shadow."""
    write(path, "shadow")
    data = yaml.safe_load((path / "het.yaml").read_text())
    data["pools"]["train-nv"]["mode"] = "plan"
    (path / "het.yaml").write_text(yaml.safe_dump(data))


@asynccontextmanager
async def hetd(path: Path) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
    """A running hetd; gives what asks for its status."""
    async with running_daemon(path / "het.yaml") as running:

        async def status() -> dict[str, Any]:
            socket = path / "control.sock"
            while not socket.exists() and not running.done():
                await asyncio.sleep(0.01)
            return await asyncio.to_thread(call, socket, {"op": "status"}, PATIENCE)

        yield status


def test_a_gate_that_slurm_did_not_open_as_plan_ended_is_opened_in_shadow(
    short_path: Path, slurm: BusySlurm
) -> None:
    async def live() -> None:
        write(short_path, "plan")
        async with hetd(short_path) as status:
            await until(lambda: slurm.gate == "DOWN")
            slurm.busy = True
            write(short_path, "shadow")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: slurm.moved.count("UP") > 3)
            told = await status()
            assert (set(told["modes"].values()), told["gate"]) == ({"shadow"}, "closed")
            assert any("the gate cannot be opened: Unable" in text for text in told["troubles"])
            slurm.away = True  # nor is there any snapshot
            tries = len(slurm.moved)
            await until(lambda: len(slurm.moved) > tries)
            slurm.busy = False
            await until(lambda: slurm.gate == "UP")
            slurm.away = False
            tries = len(slurm.moved)
            await asyncio.sleep(0.5)
            assert len(slurm.moved) == tries, "once it is open, shadow moves it no more"
            told = await status()
            assert (told["gate"], told["troubles"]) == ("open", [])
        assert Holds(short_path).read("?") == ""

    asyncio.run(live())


def test_if_it_cannot_be_opened_until_the_end_the_opener_still_knows(
    short_path: Path, slurm: BusySlurm
) -> None:
    async def live() -> None:
        write(short_path, "plan")
        async with hetd(short_path):
            await until(lambda: slurm.gate == "DOWN")
            slurm.busy = True
            write(short_path, "shadow")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: slurm.moved.count("UP") > 1)

    asyncio.run(live())
    assert Holds(short_path).read("?") == "accel"


def test_however_often_it_is_told_to_reload_it_has_no_more_threads(
    short_path: Path, slurm: BusySlurm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="hetd")

    async def live() -> None:
        write(short_path, "plan")
        async with hetd(short_path):
            await until(lambda: slurm.gate == "DOWN")
            before = {thread.ident for thread in threading.enumerate()}
            for n in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
                await until(lambda: caplog.text.count("is read anew") > n)  # noqa: B023
            new = [t.name for t in threading.enumerate() if t.ident not in before]
            assert new.count("configuration") == 1

    asyncio.run(live())


@pytest.mark.parametrize("closed", [True, False])
def test_in_shadow_a_new_leader_opens_what_slurm_het_has_closed_and_nothing_else(
    short_path: Path, slurm: BusySlurm, closed: bool
) -> None:
    """The hetd that closed it ran on another host: its note for the opener is not here."""

    async def live() -> None:
        write(short_path, "shadow")
        slurm.gate = "DOWN"
        if closed:
            closed_flag(short_path).touch()
        async with hetd(short_path) as status:
            if closed:
                # The word of it is withdrawn once Slurm has opened it.
                await until(lambda: slurm.gate == "UP" and not closed_flag(short_path).exists())
            told = await status()
            deadline = time.monotonic() + PATIENCE
            while told["leading"] is not True:
                assert time.monotonic() < deadline
                told = await status()
            if not closed:
                assert "the intake accel is DOWN, and no pool is in plan" in told["troubles"][0]
        assert slurm.moved == (["UP"] if closed else [])

    asyncio.run(live())


def test_who_plans_leaves_word_of_the_gate_for_a_leader_on_another_host(
    short_path: Path, slurm: BusySlurm
) -> None:
    async def live() -> None:
        write(short_path, "plan")
        async with hetd(short_path):
            await until(lambda: slurm.gate == "DOWN" and closed_flag(short_path).exists())
        assert slurm.gate == "UP"
        assert not closed_flag(short_path).exists()

    asyncio.run(live())


def test_shadow_beside_plan_reads_with_a_client_of_its_own(
    short_path: Path, slurm: BusySlurm, beside: BusySlurm
) -> None:
    """Who is shared tells neither what changed since the last look nor whose call was answered."""

    async def live() -> None:
        write_both(short_path)
        async with hetd(short_path):
            await until(lambda: slurm.gate == "DOWN" and beside.read > 1)
            slurm.hangs = True
            await asyncio.sleep(0.2)
            read, shadows = slurm.read, beside.read
            await until(lambda: beside.read > shadows + 1)
            assert slurm.read == read
            slurm.hangs = False
        assert (beside.moved, slurm.gate) == ([], "UP")

    asyncio.run(live())


def test_only_who_goes_first_looks_whether_it_leads(
    short_path: Path, slurm: BusySlurm, beside: BusySlurm
) -> None:
    """One look that fails ends a hetd, and does not leave one that plans and says it does not."""
    looked = 0

    async def look() -> None:
        nonlocal looked
        looked += 1
        raise LeadError("the lead is lost")

    async def live(sides: Sides) -> None:
        if sides.beside:
            await sides.beside.run()
        assert looked == 0
        with pytest.raises(LeadError):
            await sides.cycle.run()
        await sides.stop()

    for both in (True, False):
        looked = 0
        write_both(short_path) if both else write(short_path, "shadow")
        config = load_config(short_path / "het.yaml")
        sides = Sides(config, slurm, solver_of(config.planner), look)
        assert bool(sides.beside) is both
        try:
            asyncio.run(live(sides))
        finally:
            sides.close()
        assert looked == 1
    assert beside.moved == []


@pytest.mark.parametrize(
    ("mode", "note", "closed", "then"),
    [
        ("shadow", "", False, ""),
        ("shadow", "accel", False, "accel"),
        ("shadow", "", True, "?"),  # slurm-het closed it before this host's boot
        ("plan", "", False, "?"),
    ],
)
def test_a_hetd_in_shadow_that_fails_before_it_leads_has_no_gate_opened(
    short_path: Path, slurm: BusySlurm, mode: str, note: str, closed: bool, then: str
) -> None:
    """The opener goes by the note; without one it opens what is configured."""
    write(short_path, mode)
    slurm.away = True
    if note:
        Holds(short_path).write(note)
    if closed:
        closed_flag(short_path).touch()
    with pytest.raises(SlurmError):
        asyncio.run(Daemon(load_config(short_path / "het.yaml")).run())
    assert Holds(short_path).read("?") == then
    assert slurm.moved == []


BACK = {"Partition": "accel", "ReqNodeList": ""}


async def leads() -> None:
    """It does."""


def with_sides(config: Config, slurm: BusySlurm, live: Callable[[Sides], Awaitable[None]]) -> None:
    """Have something done with the cycles of a configuration."""

    async def alive() -> None:
        await live(sides)

    sides = Sides(config, slurm, solver_of(config.planner), leads)
    try:
        asyncio.run(alive())
    finally:
        sides.close()
        sides.solver.close()


def released_in_two_pools(slurm: BusySlurm) -> None:
    """The jobs of a first cycle, of which 1 is pinned ahead. What asks for 16 devices and leaves
    the number of nodes open is given two."""
    slurm.gate, slurm.side_door = "DOWN", True
    slurm.jobs = (
        marked(1, tres_per_job="gpu:a100:16"),
        marked(2, tres_per_node="gpu:a100:4", priority=2000),
        marked(3, tres_per_node="gpu:mi300x:1"),
        running(9, "nv1", "gpu:a100:8(IDX:0-7)", partition="train-nv", end_time=3000),
    )


async def first_cycle(sides: Sides, slurm: BusySlurm) -> None:
    """One, which releases them."""
    await sides.cycle.run()
    released = {key: fields["Partition"] for key, fields in slurm.updates}
    assert released == {"1": "train-nv", "2": "train-nv", "3": "train-amd"}
    assert [pin.task.key for pin in sides.cycle.pins.ahead()] == ["1"]


def test_all_that_was_released_in_a_pool_is_taken_back_as_it_leaves_plan(
    short_path: Path, slurm: BusySlurm
) -> None:
    write(short_path, "plan")
    config = load_config(short_path / "het.yaml")
    released_in_two_pools(slurm)

    async def live(sides: Sides) -> None:
        await first_cycle(sides, slurm)
        slurm.updates.clear()
        new = replace(config, policy=mixed("train-nv"))
        await sides.leave(new, leads=False)
        assert slurm.updates == []
        await sides.leave(new, leads=True)

    with_sides(config, slurm, live)
    assert dict(slurm.updates) == {"1": BACK | {"NumNodes": "1-2"}, "2": BACK}
    assert slurm.moved == []


@pytest.mark.parametrize("hangs", [False, True])
def test_who_does_not_run_yet_is_taken_back_at_the_end(
    short_path: Path, slurm: BusySlurm, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """Plain Slurm may have other nodes for it; the gate does not wait for long."""
    monkeypatch.setattr("slurm_het.daemon.sides.TAKE_BACK_SECONDS", 0.2)
    write(short_path, "plan")
    released_in_two_pools(slurm)

    async def live(sides: Sides) -> None:
        await first_cycle(sides, slurm)
        slurm.updates.clear()
        slurm.hangs = hangs
        await sides.give_up()

    with_sides(load_config(short_path / "het.yaml"), slurm, live)
    if not hangs:
        assert dict(slurm.updates) == {"1": BACK | {"NumNodes": "1-2"}, "2": BACK, "3": BACK}
    assert (slurm.moved, slurm.gate) == (["UP"], "UP")


@pytest.mark.parametrize("pools", [("train-nv",), ("train-nv", "train-amd", "infer")])
def test_after_a_restart_nobody_stays_pinned_where_nothing_is_in_plan(
    short_path: Path, slurm: BusySlurm, pools: tuple[str, ...]
) -> None:
    """By the journal: nodes that somebody else chose stay. It is looked for once."""
    write(short_path, "plan")
    config = load_config(short_path / "het.yaml")
    released_in_two_pools(slurm)

    async def before(sides: Sides) -> None:
        await first_cycle(sides, slurm)
        await sides.journal.written()

    async def after(sides: Sides) -> None:
        slurm.busy = True
        await sides.free_the_pinned()
        slurm.updates.clear()
        slurm.busy = False
        await sides.free_the_pinned()
        await sides.free_the_pinned()

    with_sides(config, slurm, before)
    sent = {key: fields["ReqNodeList"] for key, fields in slurm.updates}
    one, two, three, nine = slurm.jobs
    slurm.jobs = (
        replace(one, partition="train-nv", req_nodes=sent["1"], nodes_min=2),
        replace(two, partition="train-nv", req_nodes="nv1"),
        replace(three, partition="train-amd", req_nodes=sent["3"]),
        nine,
    )
    slurm.updates.clear()
    with_sides(replace(config, policy=mixed(*pools)), slurm, after)
    freed = {"1"} | ({"3"} if "train-amd" in pools else set())
    assert [key for key, _ in slurm.updates] == sorted(freed)
    assert all(fields.items() >= BACK.items() for _, fields in slurm.updates)
