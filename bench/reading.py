"""What a cycle costs at 10,000 pending jobs: with all jobs read as JSON, and only what has changed.

    ./dev bench reading [--jobs 10000] [--rounds 15] [--no-record]
    sh templates/enter_root.sh "$(./dev root 24.11)" python -m bench.reading    # on another Slurm

A sandbox with hetd is filled with jobs of 20 s, each a record of its own. Then hetd makes room for
its own cycle (the real one, on the real slurmctld), which runs here: a round is a cycle of each
way, one after the other, with a submission before each. Jobs start and end all the while. Before
each there is one that does not count: it begins with the records that the other way has made, and
hetd's cycles never do. The programs' peak memory is measured in cycles of their own, and so is the
very first reading. CPU seconds are told too: they are the same on a machine that has other things
to do.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.in_sandbox import fill
from bench.results import head, publish, recorded, table
from slurm_het.config import load_config
from slurm_het.core.model import Job
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.journal import Journal
from slurm_het.opener import Holds
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program, slurm_version
from slurm_het.sandbox.topology import INTAKE
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.job_reader import RecordParser
from slurm_het.solve.worker import solver_of

SCRIPT = "#!/bin/bash\nmodule load cuda\nsleep 20\n"
ASKED = "-t 60 --gres=gpu:$((i % 8 + 1))"
COLUMNS = (
    "seconds, medians", "a cycle", "p90", "of that reading jobs", "CPU: cycle", "CPU: its programs",
    "squeue, peak MiB",
)  # fmt: skip
MEASURE = """#!/usr/bin/python3 -SE
import resource, subprocess, sys
status = subprocess.call([{program!r}, *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
print({name!r}, peak, file=open({log!r}, "a"))
sys.exit(status)
"""


@dataclass
class Way:
    """One way to read the jobs, and what its cycles took."""

    name: str
    slurm: CliSlurm
    read: Callable[[RecordParser], Awaitable[tuple[Job, ...]]]
    cycles: list[float] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Of each cycle: seconds of this process, and of the programs that it ran."""
    peak_mib: int = 0

    def use(self) -> None:
        """Have the cycle's Slurm read so from now on."""
        self.slurm.jobs.read = self._timed  # type: ignore[method-assign]  # that is the point

    async def _timed(self, reading: RecordParser) -> tuple[Job, ...]:
        began = time.perf_counter()
        jobs = await self.read(reading)
        self.readings.append(time.perf_counter() - began)
        return jobs

    def row(self) -> list[str]:
        """Its figures."""
        ninth = sorted(self.cycles)[len(self.cycles) * 9 // 10]
        times = (
            statistics.median(self.cycles), ninth, statistics.median(self.readings),
            *(statistics.median(part) for part in zip(*self.cpu, strict=True)),
        )  # fmt: skip
        return [self.name, *(f"{value:.2f}" for value in times), str(self.peak_mib)]


def submit(box: Sandbox) -> None:
    """One more."""
    script = str(box.layout.work / "job.sh")
    box.run(["sbatch", "-Q", "-o", "/dev/null", "-p", INTAKE, "-t", "60", "--gres=gpu:1", script])


def cpu_seconds() -> tuple[float, float]:
    """Of this process, and of its children that ended."""
    ours, theirs = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours.ru_utime + ours.ru_stime, theirs.ru_utime + theirs.ru_stime


def measured(directory: Path) -> Path:
    """Slurm's programs, which write their peak memory to `peaks` there."""
    directory.mkdir()
    for name in ("squeue", "scontrol"):
        text = MEASURE.format(program=program(name), name=name, log=str(directory / "peaks"))
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def peak(directory: Path) -> int:
    """squeue's peak since the last question, MiB."""
    file = directory / "peaks"
    lines = [line.split() for line in file.read_text().splitlines()]
    file.unlink()
    return max(int(mib) for name, mib in lines if name == "squeue")


async def run(box: Sandbox, base: Path, options: argparse.Namespace) -> list[str]:
    """The rounds; the lines of the result."""
    config = load_config(box.config_path)
    conf = Path(box.env["SLURM_CONF"])  # and JSON of all jobs takes long on a busy machine
    slurm = CliSlurm(replace(config.slurm, conf=conf, timeout_seconds=60))
    journal = Journal(config.paths.journal)
    solver = solver_of(config.planner)
    gate = Gate(slurm, config.policy.intake_partition, config.paths.state_dir, Holds(base))
    cycle = Cycle(config, slurm, gate, journal, solver)
    ways = (
        Way("all jobs as JSON", slurm, slurm.jobs.read_all),
        Way("a line each, JSON of what changed", slurm, slurm.jobs.read),
    )
    profile = cProfile.Profile() if options.profile else None
    try:
        for number in range(options.rounds + 2):
            for way in ways:
                way.use()
                await cycle.run()
                del way.readings[-1]
                submit(box)
                began, before = time.perf_counter(), cpu_seconds()
                if profile and way is ways[1] and number > 1:
                    profile.enable()
                await cycle.run()
                if profile:
                    profile.disable()
                way.cycles.append(time.perf_counter() - began)
                ours, theirs = cpu_seconds()
                way.cpu.append((ours - before[0], theirs - before[1]))
                print(f"{way.name}: {way.cycles[-1]:.2f} s, {way.readings[-1]:.2f} s", flush=True)
        for way in ways:
            del way.cycles[:2], way.readings[:2], way.cpu[:2]  # the first fills what is remembered
        first, first_mib = await memory(cycle, slurm, ways, measured(base / "bin"))
        pending = sum(job.state == "PENDING" for job in (await slurm.snapshot()).jobs)
    finally:
        await cycle.endings.stop()
        solver.close()
        journal.close()
    if profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    load = os.getloadavg()[1]
    return [
        f"{pending} jobs pending, load average {load:.0f}, {options.rounds} rounds. The very first"
        f" reading: {first:.1f} s, {first_mib} MiB.", "",
        *table(COLUMNS, (way.row() for way in ways)),
    ]  # fmt: skip


async def memory(
    cycle: Cycle, slurm: CliSlurm, ways: tuple[Way, ...], directory: Path
) -> tuple[float, int]:
    """Measure squeue's peak in a cycle each; seconds and peak of a reading from nothing."""
    usual = slurm.settings
    slurm.settings = replace(usual, bin_dir=directory)
    for way in ways:
        way.use()
        await cycle.run()
        way.peak_mib = peak(directory)
        del way.readings[-1]
    slurm.settings = usual
    fresh = CliSlurm(replace(usual, bin_dir=directory))
    began = time.perf_counter()
    await fresh.snapshot()
    return time.perf_counter() - began, peak(directory)


def main() -> None:
    """Boot, fill, run, print; put it into RESULTS.md."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with Sandbox.up(base / "box") as box:
            fill(box, options.jobs, SCRIPT, ASKED)
            box.stop_hetd()
            lines = asyncio.run(run(box, base, options))
    command = f"./dev bench reading --jobs {options.jobs} --rounds {options.rounds}"
    text = [*head("reading", command, f"Slurm {slurm_version().text}"), *lines]
    publish(text, options)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait (10000)")
    parser.add_argument("--rounds", type=int, default=15, help="cycles of each way (15)")
    parser.add_argument("--profile", action="store_true", help="print a profile of the second way")
    return parser.parse_args()


if __name__ == "__main__":
    main()
