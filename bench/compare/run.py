"""Both sides of a comparison at the same time, so that what disturbs the machine disturbs both."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.compare.records import Side
from bench.compare.scenario import Scenario
from bench.compare.side import Driver, boot
from bench.compare.verdict import Comparison
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.topology import Topology

NAMES = PLAIN, OURS = "plain", "slurm-het"
LOOK_UP_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two clusters that have booted, plain Slurm's first, and who drives each."""

    boxes: Sequence[Sandbox]
    drivers: Sequence[Driver]
    pool: ThreadPoolExecutor
    look: Callable[[], None]
    """Raises KeyboardInterrupt once a signal has told us to end."""

    def run(self, say: Callable[[str], None]) -> tuple[Side, Side]:
        """Do the same in both at once; what each came to. Raises HetError if one fails."""
        those = zip(self.drivers, NAMES, strict=True)
        begun = [self.pool.submit(driver.run, name, say) for driver, name in those]
        plain, ours = results(begun, self.look)
        return plain, ours


@contextmanager
def pair(
    scenario: Scenario, topology: Topology, base: Path, logs: Path | None = None
) -> Iterator[Pair]:
    """Boot two clusters in `base`, and end them. The daemons' logs and hetd's journal are copied
    into `logs`, a directory that is not there yet. Raises HetError if one does not boot.

    Signals are put off meanwhile, so that a second one does not break off their end either.
    """
    with put_off() as look, ExitStack() as stack:
        for name in NAMES:
            box = Sandbox(base / name)
            stack.callback(box.down)
            if logs:
                stack.callback(_keep, box, logs / name)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stop = threading.Event()
        stack.callback(stop.set)  # before the pool is waited for
        booting = [
            pool.submit(boot, base / name, scenario, topology, stop, het=name == OURS)
            for name in NAMES
        ]
        boxes = results(booting, look)
        yield Pair(boxes, [Driver(box, scenario, topology, stop) for box in boxes], pool, look)


def compare(
    scenario: Scenario,
    topology: Topology,
    base: Path,
    say: Callable[[str], None],
    logs: Path | None = None,
) -> Comparison:
    """Do the same in both at once, read Slurm's records, compare.

    Raises HetError if a cluster does not boot, an event fails, or records do not come.
    """
    say("booting two clusters: with plain Slurm, and with slurm-het")
    with pair(scenario, topology, base, logs) as both:
        say(f"they run side by side for {scenario.seconds:g} s")
        plain, ours = both.run(say)
    return Comparison(scenario, plain, ours)


def results(futures: Sequence[Future[T]], look: Callable[[], None]) -> list[T]:
    """What each came to, in order; raises what the first that fails raises, at once.

    `look` is called each second; what it raises ends the wait.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, LOOK_UP_SECONDS, return_when=FIRST_EXCEPTION)
        look()
        for future in done:
            future.result()
    return [future.result() for future in futures]


@contextmanager
def put_off() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM only raise KeyboardInterrupt in what this gives, and at its end.

    Raised wherever it comes, it may leave the lock of a future taken: then the thread that has the
    future's result waits for the lock for ever, and we for the thread.
    """
    came: list[int] = []

    def look() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield look
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        look()


def _keep(box: Sandbox, where: Path) -> None:
    if box.layout.log.is_dir():
        shutil.copytree(box.layout.log, where)
        for journal in (box.dir / "state").glob("journal.db*"):
            shutil.copy(journal, where)
