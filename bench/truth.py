"""Replay against truth: what `slurm-het replay` says of queues, beside what Slurm did with them.

    ./dev bench truth [--seeds 1-4] [--seconds 1200] [--keep DIR] [--root TREE] [--no-record]
    ./dev bench truth --keep DIR --judge        # of queues that were run and kept before

Each queue runs on two real clusters at once: plain Slurm (the gate open), and Slurm with slurm-het
(the gate closed). The plain one's accounting is replayed, as a site would have it done. So the
model of plain Slurm is held against the one cluster, and what is predicted of slurm-het against
the other. Judged are the jobs that started on both. The queues are those of `./dev bench mixes`,
without what the replay does not model: limits, reservations, shares. A seed with a load above 1.3
is passed over: of a queue that grows without end mostly the end of the time is seen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from statistics import mean
from typing import Any

from bench.compare.records import Side
from bench.compare.run import pair
from bench.compare.scenario import Scenario
from bench.mixes.generate import generate
from bench.mixes.replay import told_apart
from bench.mixes.world import read_world
from bench.results import head, numbers, publish, recorded, table
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.replay.documents import WaitSums
from slurm_het.replay.findings import (
    BUSY,
    MEAN,
    P95,
    SIZES,
    size_class,
    waits_by_job,
    waits_of,
)
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import command
from slurm_het.replay.sides import SIDES, Effort, run_sides
from slurm_het.replay.signs import sign_of
from slurm_het.replay.site import WORDS
from slurm_het.replay.source import lines_of, read_past, read_site
from slurm_het.replay.trace import make_trace
from slurm_het.replay.usage import mean_usage
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.sandbox.layout import slurm_version

NODES = 8
"""A queue's cluster has so many nodes at the most."""
MOST_LOAD = 1.3
PREDICTED = 0.15
"""So far may the mean wait that is predicted with the gate closed be from the true one."""
FLOOR = 1.0
"""Seconds between two of the sandbox's backfill passes: a smaller difference of waits is none."""
FILES = ("jobs.txt", "site.txt", "het.yaml", "runs.json")


Of = Callable[["Judged"], Iterable[float]]


@dataclass(frozen=True)
class Judged:
    """A job that started on both clusters: its waits in seconds, really and as it is replayed, in
    each rendition."""

    size: str
    plain: float
    plain_model: tuple[float, ...]
    ours: float
    predicted: tuple[float, ...]


def queue(seed: int, seconds: float) -> dict[str, Any]:
    """The mix of a seed without limits and reservations."""
    mix = generate(seed, seconds, NODES)
    section = mix["cluster"]["accounting"]
    section["qos"] = {name: {"Priority": q["Priority"]} for name, q in section["qos"].items()}
    section["accounts"] = {name: {"QOS": a["QOS"]} for name, a in section["accounts"].items()}
    for submission in mix["submissions"]:
        submission["sbatch"] = [w for w in submission["sbatch"] if "reservation" not in w]
    return mix | {"events": []}


def seeds_of(first: int, many: int, seconds: float) -> list[int]:
    """So many seeds whose queues can be judged."""
    return list(islice((seed for seed in count(first) if _fits(queue(seed, seconds))), many))


def _fits(mix: dict[str, Any]) -> bool:
    world = read_world(mix)
    devices = sum(len(host.types) for host in world.hosts)
    work = sum(job.nodes * job.ask.devices * job.seconds for job in world.jobs)
    return told_apart(mix) and work <= MOST_LOAD * devices * world.seconds


def run(seed: int, seconds: float, there: Path) -> None:
    """Run the queue of a seed on both clusters, and keep in `there` what is judged."""
    world = read_world(queue(seed, seconds))
    with tempfile.TemporaryDirectory(prefix="het-", ignore_cleanup_errors=True) as temporary:
        base = Path(temporary)
        base.chmod(0o755)
        with pair(world.scenario, world.topology, base) as both:
            began = time.time()
            sides = both.run(_say)
            _keep(there, both.boxes, began, world.scenario, sides)


def _keep(
    there: Path, boxes: Sequence[Sandbox], began: float, scenario: Scenario, sides: Sequence[Side]
) -> None:
    plain, ours = boxes
    there.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began - 5))
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began + scenario.seconds + 60))
    asked = ["env", "TZ=UTC", "SLURM_TIME_FORMAT=%s", *command(stamp, until)]
    for name, box in (("jobs.txt", plain), ("ours.txt", ours)):
        (there / name).write_text(box.run(asked, check=True).stdout)
    # To look up afterwards why hetd decided as it did.
    shutil.copy(ours.layout.output_of(SUPERVISOR), there / "hetd.log")
    with (
        closing(sqlite3.connect(load_config(ours.config_path).paths.journal)) as journal,
        closing(sqlite3.connect(there / "journal.db")) as copy,
    ):
        journal.backup(copy)
    told = (plain.run(["scontrol", *w.split()], check=True).stdout for w in WORDS)
    (there / "site.txt").write_text("\n".join(told))
    (there / "het.yaml").write_text(ours.config_path.read_text())
    # The n-th of both are the same submission: a job is known on the other cluster by its place.
    waits = [
        (a.id, b.wait) for a, b in zip(sides[0].jobs, sides[1].jobs, strict=True)
    ]  # fmt: skip
    facts = {
        "what": scenario.what, "began": began, "seconds": scenario.seconds, "waits": waits,
        "slurm": slurm_version().text, "load": os.getloadavg()[1], "devices": sides[0].devices,
        "busy": [side.busy / side.devices / side.seconds for side in sides],
    }  # fmt: skip
    (there / "runs.json").write_text(json.dumps(facts))


def judge(there: Path) -> tuple[dict[str, Any], list[Judged], float]:
    """What was kept of a queue, its jobs, and the busy share of plain Slurm's model."""
    facts = json.loads((there / "runs.json").read_text())
    site = read_site((there / "site.txt").read_text(), load_config(there / "het.yaml"))
    pasts = read_past(lines_of(there / "jobs.txt"), WallClock(), Tally())
    # Slurm's records have whole seconds: nobody is to have come before it began.
    begin = float(int(facts["began"]) - 1)
    trace = make_trace(pasts, site, Tally(), begin, facts["began"] + facts["seconds"], 0.0)
    sides = run_sides(trace, site, Effort(), lambda *_: None)
    ours = {key: waited for key, waited in facts["waits"] if waited is not None}
    model, predicted = (waits_by_job(trace, sides[name]) for name in SIDES)
    jobs = [
        Judged(
            size_class(spec),
            subject.start - subject.since,
            model[n],
            ours[subject.key],
            predicted[n],
        )
        for n, (spec, subject) in enumerate(zip(trace.world.jobs, trace.subjects, strict=True))
        if subject.start is not None and subject.key in ours
    ]
    busy = mean_usage([one.usage for one in sides["plain"]]).total
    return facts, jobs, busy / facts["devices"] / facts["seconds"]


def rows(facts: dict[str, Any], jobs: Sequence[Judged], busy: float) -> Iterator[list[str]]:
    """The queue as a whole, then by class of size."""
    off = _off(jobs, busy - facts["busy"][0])
    holds = not off
    off += _off_ours(jobs)
    yield [
        facts["what"], *_row(jobs), f"{facts['busy'][0]:.1%}", f"{busy:.1%}",
        ", ".join(off) or "holds", _sign(jobs, holds),
    ]  # fmt: skip
    for size in SIZES:
        those = [job for job in jobs if job.size == size]
        if those:
            yield [f"– {size}", *_row(those), "", "", "", _sign(those, holds)]


def _row(jobs: Sequence[Judged]) -> list[str]:
    plain, model, ours, predicted = _sides(jobs)
    spread = [mean(waits) for waits in zip(*(job.predicted for job in jobs), strict=True)]
    return [
        str(len(jobs)), f"{plain.mean:.1f}", f"{model.mean:.1f}", f"{plain.p95:.0f}",
        f"{model.p95:.0f}", f"{ours.mean:.1f}", f"{predicted.mean:.1f}",
        f"{min(spread):.0f} to {max(spread):.0f}",
    ]  # fmt: skip


def _model_of(job: Judged) -> tuple[float, ...]:
    return job.plain_model


def _predicted_of(job: Judged) -> tuple[float, ...]:
    return job.predicted


def _waits(jobs: Sequence[Judged], of: Of) -> WaitSums:
    return waits_of(chain.from_iterable(map(of, jobs)))


def _sides(jobs: Sequence[Judged]) -> list[WaitSums]:
    """Plain Slurm's waits, its model's, those with slurm-het, those that are predicted."""
    fields: Sequence[Of] = (
        lambda j: (j.plain,), _model_of, lambda j: (j.ours,), _predicted_of
    )  # fmt: skip
    return [_waits(jobs, of) for of in fields]


def _sign(jobs: Sequence[Judged], holds: bool) -> str:
    """Whether it is clear that these wait shorter or longer with slurm-het, as the report has it;
    and whether it is so. Where the model does not meet the past nothing is claimed."""
    plain, _, ours, _ = (waits.mean for waits in _sides(jobs))
    sides = (zip(*map(of, jobs), strict=True) for of in (_model_of, _predicted_of))
    before, after = ([mean(waits) for waits in side] for side in sides)
    said = sign_of([a - b for a, b in zip(after, before, strict=True)], FLOOR)
    if not holds or said == "unclear":
        return "" if holds else "nothing claimed"
    really = ours - plain
    return said if (said == "later") == (really > 0) else f"{said}: wrong, {really:+.0f} s"


def _off(jobs: Sequence[Judged], busy: float) -> list[str]:
    """Where the model of plain Slurm does not meet what happened."""
    plain, model, _, _ = _sides(jobs)
    off = [
        *_beyond("mean", plain.mean, model.mean, MEAN), *_beyond("p95", plain.p95, model.p95, P95)
    ]  # fmt: skip
    return off + ([f"busy {100 * busy:+.1f} points"] if abs(busy) > BUSY else [])


def _off_ours(jobs: Sequence[Judged]) -> list[str]:
    _, _, ours, predicted = _sides(jobs)
    return list(_beyond("predicted", ours.mean, predicted.mean, PREDICTED))


def _beyond(name: str, there: float, here: float, bound: float) -> Iterator[str]:
    if abs(here - there) > max(FLOOR, bound * there):
        yield f"{name} {(here - there) / max(there, 0.1):+.0%}"


COLUMNS = (
    "queue", "jobs", "plain: mean wait, s", "model", "plain: p95", "model", "slurm-het: mean",
    "predicted", "in its renditions", "plain: busy", "model", "bounds", "clear",
)  # fmt: skip


def main() -> None:
    """Run the queues one after the other, judge them, and print the table."""
    options = _options()
    if options.root and slurm_root.current() != str(options.root.resolve()):
        slurm_root.enter(options.root.resolve(), "bench.truth", sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="het-truth-") as temporary:
        kept = options.keep or Path(temporary)
        if not options.judge:
            for seed in seeds_of(options.seeds.start, len(options.seeds), options.seconds):
                _say(f"seed {seed}")
                run(seed, options.seconds, kept / str(seed))
        found = [judge(there) for there in sorted(kept.iterdir()) if _whole(there)]
    if not found:
        raise HetError(f"no queue is kept in {kept}")
    slurm = ", ".join(sorted({f"Slurm {facts['slurm']}" for facts, _, _ in found}))
    load = ", ".join(f"{facts['load']:.1f}" for facts, _, _ in found)
    words = f"./dev bench truth --seconds {options.seconds:g}"
    made = [row for one in found for row in rows(*one)]
    text = [*head("truth", words, f"{slurm}, load {load} at the ends"), *table(COLUMNS, made)]
    publish(text, options)


def _whole(there: Path) -> bool:
    return all((there / name).exists() for name in FILES)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = recorded(__doc__)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-4"), help="1-4")
    parser.add_argument("--seconds", type=float, default=1200.0, help="of each queue (1200)")
    parser.add_argument("--keep", type=Path, help="keep what is judged there, a folder a queue")
    parser.add_argument("--judge", action="store_true", help="what is kept, without a run")
    parser.add_argument("--root", type=Path, help="a Debian tree with another Slurm")
    options = parser.parse_args()
    if options.judge and not options.keep:
        parser.error("--judge is of what is kept: --keep DIR")
    return options


if __name__ == "__main__":
    main()
