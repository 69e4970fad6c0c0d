"""A long journal: how long hetd's cycles wait for it while it forgets a day and is asked what came.

It is written as the first slurm-het did, so that the way up to today's schema is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from slurm_het.core.model import Placement, Plan
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.journal import Keeper, Planning
from slurm_het.journal.forgetting import DAY, KEEP_DAYS
from slurm_het.journal.schema import FIRST

CYCLE_SECONDS = 0.5
INSERT = "INSERT INTO {} VALUES ({})"


def main() -> None:
    """Print a line per figure."""
    parser = argparse.ArgumentParser(prog="journal", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="six entries each")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long hetd runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.db"
        fill(path, options.jobs)
        size = path.stat().st_size
        print(
            f"{6 * options.jobs} entries of {options.jobs} jobs in {KEEP_DAYS + 1} days:"
            f" {size >> 20} MiB; load {os.getloadavg()[0]:.1f}"
        )
        asyncio.run(run(path, options.seconds))


def fill(path: Path, jobs: int) -> None:
    """The last KEEP_DAYS days and one, of as many jobs each."""
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + FIRST)
    tables = {"job": 4, "cycle": 10, "placement": 4, "demand": 4, "outcome": 4, "job_end": 4}
    with db:
        for number, (table, row) in enumerate(entries(jobs)):
            db.execute(INSERT.format(table, ",".join("?" * tables[table])), row)
            if number % 600_000 == 0:
                db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def entries(jobs: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What the first slurm-het wrote of a job from its submission to its end."""
    first = time.time() - (KEEP_DAYS + 1) * DAY
    what = json.dumps(
        {
            "scenario": "training",
            "vendors": ["nvidia"],
            "types": [],
            "share": False,
            "partitions": [],
            "memory_gib": 0,
            "evidence": ["rule nvidia: module:cuda"],
            "job_class": "",
            "asked": {"tres_per_node": "gpu:1"},
        }
    )
    for n in range(jobs):
        now, key = first + n * (KEEP_DAYS + 1) * DAY / jobs, str(n + 1)
        profile = TaskProfile(("a100",), ("train-nv",), 1 + n % 8, 1, cpus=1 + n % 16)
        placement = {
            "key": key,
            "partition": "train-nv",
            "nodes": [f"nv{n % 100}"],
            "devices": [[n % 8]],
            "types": ["a100"],
            "memory_gib": 80,
            "terms": {"scenario_fit": 4.0, "pieces": 0.25},
            "start": 0.0,
        }
        yield "job", (key, int(now), f"user{n % 50}", what)
        yield "cycle", (n + 1, now, 0.1, 0.05, "optimal", 0.0, 2.0, 2.0, 1, 1)
        yield "placement", (n + 1, now, key, json.dumps(placement))
        yield "demand", (key, now, json.dumps(profile), 60.0)
        yield "outcome", (now, key, "released", f"train-nv nv{n % 100}")
        yield "outcome", (now, key, "started", f"nv{n % 100}:{n % 8}")
        end = {"key": key, "submitted": int(now), "state": "COMPLETED", "started": int(now) + 9}
        end |= {"ended": int(now) + 60}
        yield "job_end", (key, int(now), now + 60, json.dumps(end))


async def run(path: Path, seconds: float) -> None:
    """hetd's cycles, as far as the journal is in them: each releases a job, and looks at one."""
    began, began_at = time.perf_counter(), time.time()
    kept = Keeper(path)
    waits: list[float] = []
    late, answered = 0, 0.0
    question = asyncio.create_task(
        kept.ask(lambda journal: journal.past(began_at - 28 * DAY, began_at), None, 120.0)
    )
    while time.perf_counter() < began + seconds:
        cycle = time.perf_counter()
        late += not await one_cycle(kept, str(10_000_000 + len(waits)))
        if question.done() and not answered:
            answered = time.perf_counter() - began
        waits.append(time.perf_counter() - cycle)
        await asyncio.sleep(max(0.0, CYCLE_SECONDS - waits[-1]))
    waits.sort()
    print(
        f"a cycle waits for it: median {waits[len(waits) // 2] * 1e3:.1f} ms, longest"
        f" {waits[-1] * 1e3:.0f} ms of {len(waits)}; {late} times it was not on the disk in time"
    )
    print(f"what came in 7 days was told after {answered:.1f} s, beside the cycles")
    db = sqlite3.connect(path)
    oldest = db.execute("SELECT time FROM outcome ORDER BY rowid LIMIT 1").fetchone()[0]
    print(f"the oldest entry is {(time.time() - oldest) / DAY:.2f} days old after {seconds:g} s")
    db.close()
    kept.close()


async def one_cycle(kept: Keeper, key: str) -> bool:
    """Journal a plan and look at it; whether it was on the disk in time."""
    plan = Plan((Placement(key, "train-nv", ("nv1",), ((0,),), ("a100",), 80),))
    kept.write(lambda journal: journal.record_plan(time.time(), 0.1, 1, plan, Planning()))
    in_time = await kept.written()
    await kept.ask(lambda journal: journal.placement_of(key), None)
    return in_time


if __name__ == "__main__":
    main()
