"""Both sides of a comparison at the same time, so that what disturbs the machine disturbs both."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bench.compare.scenario import Scenario
from bench.compare.side import Driver, boot
from bench.compare.verdict import Comparison
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.topology import Topology

PLAIN, OURS = "plain", "slurm-het"
LOOK_UP_SECONDS = 1.0

T = TypeVar("T")


def compare(
    scenario: Scenario,
    topology: Topology,
    base: Path,
    say: Callable[[str], None],
    logs: Path | None = None,
) -> Comparison:
    """Boot two clusters in `base`, do the same in both at once, read Slurm's records, compare.

    The daemons' logs and hetd's journal are copied into `logs`, a directory that is not there yet.
    Raises HetError if a cluster does not boot, an event fails, or records do not come.
    """
    names = (PLAIN, OURS)
    with ExitStack() as stack:
        for name in names:
            box = Sandbox(base / name)
            stack.callback(box.down)
            if logs:
                stack.callback(_keep, box, logs / name)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stop = threading.Event()
        stack.callback(stop.set)  # before the pool is waited for
        say("booting two clusters: with plain Slurm, and with slurm-het")
        booting = [
            pool.submit(boot, base / name, scenario, topology, het=name == OURS) for name in names
        ]
        drivers = [Driver(box, scenario, topology, stop) for box in results(booting)]
        say(f"they run side by side for {scenario.seconds:g} s")
        running = [pool.submit(d.run, n, say) for d, n in zip(drivers, names, strict=True)]
        plain, ours = results(running)
    return Comparison(scenario, plain, ours)


def results(futures: Sequence[Future[T]]) -> list[T]:
    """What each came to, in order; raises what the first that fails raises, at once.

    It looks up each second: a signal that comes while a thread starts a program may go to that
    thread, and Python's handler runs in the main one, which sleeps.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, LOOK_UP_SECONDS, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    return [future.result() for future in futures]


def _keep(box: Sandbox, where: Path) -> None:
    if box.layout.log.is_dir():
        shutil.copytree(box.layout.log, where)
        for journal in (box.dir / "state").glob("journal.db*"):
            shutil.copy(journal, where)
