"""Both sides of a comparison at the same time, so that what disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench.compare.scenario import Scenario
from bench.compare.side import Driver, boot
from bench.compare.verdict import Comparison
from slurm_het.sandbox.topology import Topology

PLAIN, OURS = "plain", "slurm-het"


def compare(
    scenario: Scenario, topology: Topology, base: Path, say: Callable[[str], None]
) -> Comparison:
    """Boot two clusters in `base`, do the same in both at once, read Slurm's records, compare.

    Raises HetError if a cluster does not boot, an event fails, or records do not come.
    """
    with ExitStack() as stack:
        say("booting two clusters: with plain Slurm, and with slurm-het")
        drivers = []
        for name in (PLAIN, OURS):
            box = stack.enter_context(boot(base / name, scenario, topology, het=name == OURS))
            drivers.append((name, Driver(box, scenario, topology)))
        say(f"they run side by side for {scenario.seconds:g} s")
        with ThreadPoolExecutor(len(drivers)) as pool:
            sides = list(pool.map(lambda entry: entry[1].run(entry[0], say), drivers))
    return Comparison(scenario, *sides)
