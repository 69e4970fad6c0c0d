"""What a snapshot takes at 10,000 pending jobs: by Slurm's programs alone, and with pyslurm.

    ./dev bench by_pyslurm [--jobs 10000] [--rounds 15] [--no-record]

pyslurm must be installed for the Slurm that is found in PATH. A sandbox without hetd is filled with
jobs, each a record of its own, of 800 sorts. Then each way takes whole snapshots, in turn: of jobs,
nodes, partitions and limits. `the first`: of a client that knows nothing; with pyslurm that reads
all jobs both ways. `all anew`: the records of all jobs are read again. `later`: a job came since.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.in_sandbox import fill, ok
from bench.reading import ASKED, SCRIPT, submit
from bench.results import head, publish, recorded, table
from slurm_het.core.model import Snapshot
from slurm_het.daemon.tidying import Tidying
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from slurm_het.sandbox.topology import INTAKE
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.backend import client_of
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.known_jobs import KnownJobs

SORTS = "-t $((i % 37 + 60)) -c $((i / 8 % 20 + 1)) --mem-per-cpu=$((i / 160 % 5 + 1))M"
COMMENT = f"--comment=$i-{'run.' * 30}"
FIRST = 3  # rounds of the first snapshot, which takes seconds
COLUMNS = ("seconds, medians", "the first", "all anew", "p90", "later", "p90", "by pyslurm, jobs")


@dataclass
class Way:
    """One way to read, and what its snapshots took."""

    name: str
    make: Callable[[], CliSlurm]
    first: list[float] = field(default_factory=list)
    anew: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    believed: int = 0

    def row(self) -> list[str]:
        """Its figures."""
        times = (
            statistics.median(self.first),
            *(f(taken) for taken in (self.anew, self.later) for f in (statistics.median, ninth)),
        )
        return [self.name, *(f"{value:.2f}" for value in times), str(self.believed)]


def ninth(times: list[float]) -> float:
    """The ninth of ten."""
    return sorted(times)[len(times) * 9 // 10]


async def taken(slurm: CliSlurm, times: list[float]) -> Snapshot:
    """A snapshot; how long it took is added to the times."""
    began = time.perf_counter()
    snapshot = await slurm.snapshot()
    times.append(time.perf_counter() - began)
    return snapshot


async def run(box: Sandbox, options: argparse.Namespace) -> list[str]:
    """The rounds; the lines of the result."""
    conf = Path(box.env["SLURM_CONF"])
    Tidying()  # garbage is collected as in hetd

    def client(**backend: str) -> CliSlurm:
        return client_of(SlurmSettings(conf=conf, timeout_seconds=60, **backend))  # type: ignore[arg-type]

    ways = (Way("Slurm's programs", client), Way("pyslurm", lambda: client(backend="pyslurm")))
    clients = []
    for way in ways:
        for _ in range(FIRST):
            slurm = way.make()
            await taken(slurm, way.first)
            if source := slurm.jobs.source:
                source.close()
        clients.append(slurm)
    for _ in range(options.rounds + 1):
        for way, slurm in zip(ways, clients, strict=True):
            submit(box)
            snapshot = await taken(slurm, way.later)
            slurm.jobs._known = KnownJobs()  # noqa: SLF001  # as of a cluster that is all new
            await taken(slurm, way.anew)
            source = slurm.jobs.source
            if source and source.left:
                raise HetError(f"pyslurm is left: {source.left}")
            way.believed = source.believed if source else 0
            print(f"{way.name}: {way.anew[-1]:.2f} s, {way.later[-1]:.2f} s", flush=True)
    for way, slurm in zip(ways, clients, strict=True):
        del way.anew[0], way.later[0]  # its process is started, kinds are proven
        if slurm.jobs.source:
            slurm.jobs.source.close()
    pending = sum(job.state == "PENDING" for job in snapshot.jobs)
    if pending < options.jobs:
        raise HetError(f"{pending} of {options.jobs} jobs wait")
    return [
        f"{pending} jobs pending, {len(snapshot.nodes)} nodes, load average"
        f" {os.getloadavg()[1]:.0f}, {options.rounds} rounds.", "",
        *table(COLUMNS, (way.row() for way in ways)),
    ]  # fmt: skip


def main() -> None:
    """Boot, fill, run, print; put it into RESULTS.md."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with Sandbox.up(base / "box", hetd=False, hook=False) as box:
            ok(box, "scontrol", "update", f"partitionname={INTAKE}", "state=DOWN")
            fill(box, options.jobs, SCRIPT, f"{ASKED} {SORTS} {COMMENT}")
            os.environ.update(box.env)
            lines = asyncio.run(run(box, options))
    command = f"./dev bench by_pyslurm --jobs {options.jobs} --rounds {options.rounds}"
    text = [*head("by_pyslurm", command, f"Slurm {slurm_version().text}"), *lines]
    publish(text, options)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait (10000)")
    parser.add_argument("--rounds", type=int, default=15, help="snapshots of each way (15)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
