"""Users' groups: one failed look-up takes nobody's, and one that hangs keeps no cycle waiting."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from slurm_het.core.model import Job, Partition, Snapshot
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.slurm import groups
from slurm_het.slurm.groups import GroupReader

LOOK_UP = """
import pathlib, sys, time
here = pathlib.Path(sys.argv[1])
for uid in sys.stdin.read().split():
    with (here / "asked").open("a") as asked:
        print(uid, file=asked)
    told = (here / uid).read_text() if (here / uid).exists() else "null"
    if told == "hangs":
        time.sleep(60)
    print(uid, told, flush=True)
"""
ANN, BOB, EVE = 1001, 1002, 1003
OPEN = Partition("train-nv")
SHUT = replace(OPEN, allow_groups=frozenset({"ml"}))


@dataclass
class Directory:
    """Who is in which groups, as a stand-in of the program that looks it up is told."""

    base: Path
    reader: GroupReader = field(init=False)

    def __post_init__(self) -> None:
        (self.base / "look_up.py").write_text(LOOK_UP)
        self.reader = GroupReader((sys.executable, f"{self.base}/look_up.py", str(self.base)))

    def say(self, uid: int, told: str) -> None:
        (self.base / str(uid)).write_text(told)

    def asked(self) -> list[int]:
        """Who was looked up since this was asked last."""
        path = self.base / "asked"
        found = [int(uid) for uid in path.read_text().split()] if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    async def of(self, *uids: int) -> Mapping[int, tuple[str, ...]]:
        return dict(await self.reader.read(set(uids)))

    async def later(self, *uids: int, seconds: float) -> Mapping[int, tuple[str, ...]]:
        """What is known so much later, once it was looked up."""
        for uid in uids:
            self.reader._until[uid] -= seconds  # noqa: SLF001  # as if the time had passed
        await self.of(*uids)
        if self.reader._asking:  # noqa: SLF001
            await self.reader._asking  # noqa: SLF001
        return await self.of(*uids)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "PATIENCE", 0.5)
    monkeypatch.setattr(groups, "HANGS_SECONDS", 1.0)
    monkeypatch.setattr(groups, "SOON_SECONDS", 0.2)


def snapshot(*jobs: Job, partition: Partition = SHUT) -> Snapshot:
    return Snapshot(0.0, jobs, (), (partition,))


def test_a_failed_look_up_takes_nobody_his_groups(directory: Directory) -> None:
    async def run() -> None:
        directory.say(ANN, '["ml", "users"]')
        assert await directory.of(ANN) == {ANN: ("ml", "users")}
        directory.say(ANN, "null")
        assert await directory.later(ANN, seconds=61) == {ANN: ("ml", "users")}
        directory.say(ANN, '["users"]')
        assert await directory.later(ANN, seconds=6) == {ANN: ("users",)}

    asyncio.run(run())


def test_who_could_not_be_looked_up_is_looked_up_again_soon(directory: Directory) -> None:
    async def run() -> None:
        directory.say(BOB, "[]")
        assert await directory.of(ANN, BOB) == {BOB: ()}
        assert await directory.of(ANN, BOB) == {BOB: ()}
        assert directory.asked() == [ANN, BOB]
        directory.say(ANN, '["ml"]')
        assert await directory.later(ANN, BOB, seconds=6) == {ANN: ("ml",), BOB: ()}
        assert directory.asked() == [ANN]

    asyncio.run(run())


def test_a_waiting_job_has_what_its_user_was_just_granted(directory: Directory) -> None:
    """Its record is as it was: Slurm's line of it does not change by that."""
    waiting, running = Job(7, uid=ANN), Job(8, uid=ANN, state="RUNNING")

    async def run() -> None:
        first = await directory.reader.into(snapshot(waiting, running))
        assert first.jobs == (waiting, running)
        directory.say(ANN, '["ml"]')
        await directory.later(ANN, seconds=6)
        second = await directory.reader.into(snapshot(waiting, running))
        assert second.jobs == (replace(waiting, groups=("ml",)), running)
        third = await directory.reader.into(snapshot(waiting, running))
        assert third.jobs[0] is second.jobs[0]  # what was worked out of it holds

    asyncio.run(run())


@pytest.mark.parametrize(
    ("some", "counts"),
    [
        (snapshot(Job(7, uid=ANN), partition=OPEN), False),
        (snapshot(Job(7, uid=ANN)), True),
        (
            replace(
                snapshot(Job(7, uid=ANN), partition=OPEN),
                reservations=(ReservationRecord("r", 0, 1, groups=frozenset({"ml"})),),
            ),
            True,
        ),
        (snapshot(Job(7, uid=ANN, state="RUNNING")), False),
    ],
)
def test_nobody_is_looked_up_where_no_group_counts(
    directory: Directory, some: Snapshot, counts: bool
) -> None:
    asyncio.run(directory.reader.into(some))
    assert directory.asked() == [ANN] * counts


@pytest.mark.usefixtures("hasty")
def test_a_look_up_that_hangs_keeps_nobody_waiting_for_long(directory: Directory) -> None:
    async def run() -> None:
        directory.say(ANN, "hangs")
        directory.say(BOB, '["ml"]')
        began = time.monotonic()
        assert await directory.of(ANN, BOB) == {}
        assert await directory.of(ANN, BOB, EVE) == {}
        assert time.monotonic() - began < 0.9  # once for all that one process is asked
        while BOB not in await directory.of(ANN, BOB):  # though another hangs again and again
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 15
        directory.say(ANN, '["chem"]')
        while ANN not in await directory.of(ANN, BOB):
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 30

    asyncio.run(run())


@pytest.mark.parametrize(
    "program", [("/none",), ("/bin/true",), ("/bin/sh", "-c", "echo x"), ("/bin/echo", "1 [")]
)
def test_a_program_that_does_not_answer_leaves_all_as_it_was(program: tuple[str, ...]) -> None:
    reader = GroupReader(program)
    assert not asyncio.run(reader.read({ANN}))
    assert not asyncio.run(reader.read({ANN}))


def test_this_hosts_users_are_looked_up() -> None:
    known = asyncio.run(GroupReader().read({0, 4_000_000_001}))
    assert set(known) == {0}
    assert "root" in known[0]
