"""A month of a site of 200 nodes replayed: how long `slurm-het replay` takes, and how much memory.

    ./dev bench site_month [--jobs 100000] [--days 30] [--nodes 200] [--load 0.9] [--seed 1]
                           [--quick] [--keep DIR] [-- REPLAY OPTIONS]

The month is made up: users come by day and by weekday, a few of them with most jobs; arrays and
bursts; lengths over five orders of magnitude; most time limits far too long. When each job started
is what the model of plain Slurm says, so the model meets this past by its making: what is measured
is the time, not the model. `--days 1.5 --jobs 5000` is the same site with a twentieth of the month.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import FIELDS, read_sacct
from slurm_het.replay.sides import Effort, one_side
from slurm_het.replay.source import read_site
from slurm_het.replay.trace import make_trace

MARK = "~4c1b~"
BEGIN = 1_790_553_600
"""A Monday."""
HOUR, DAY = 3600.0, 86_400.0
EACH = 8
DEVICES_CPUS, DEVICES_MIB = 12, 120_000
BY_HOUR = (3, 2, 2, 1, 1, 2, 3, 6, 10, 13, 14, 13, 11, 13, 14, 13, 12, 10, 8, 7, 6, 6, 5, 4)
BY_DAY = (10, 11, 11, 10, 9, 4, 4)
SIZES = ((1, 58), (2, 13), (4, 12), (8, 12), (16, 3), (32, 1.5), (64, 0.5))
LIMITS = (60, 240, 720, 1440, 2880, 4320)
"""Minutes that users write."""
QOS = {"normal": 1000, "low": 0, "high": 3000}


@dataclass(frozen=True, slots=True)
class Kind:
    """Nodes of one type: their partition is named like it."""

    name: str
    letter: str
    part: float


KINDS = (
    Kind("a100", "a", 0.5),
    Kind("h100", "h", 0.2),
    Kind("mi210", "m", 0.2),
    Kind("l40s", "l", 0.1),
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a user sends at once: `tasks` of an array, or one job."""

    at: float
    user: int
    kind: Kind
    devices: int
    seconds: tuple[float, ...]
    minutes: int
    words: str


def site_text(nodes: int) -> str:
    """As scontrol prints it."""
    lines, folded = [], []
    for kind in KINDS:
        count = max(1, round(nodes * kind.part))
        folded.append(f"{kind.letter}[1-{count}]")
        lines += [
            f"NodeName={kind.letter}{n} CPUTot={EACH * DEVICES_CPUS}"
            f" RealMemory={EACH * DEVICES_MIB} Gres=gpu:{kind.name}:{EACH} State=IDLE"
            f" AvailableFeatures={kind.name} ActiveFeatures={kind.name}"
            f" Partitions=gpu,{kind.name}"
            for n in range(1, count + 1)
        ]
        lines.append(
            f"PartitionName={kind.name} Nodes={folded[-1]} State=UP MaxTime=3-00:00:00"
            " DefaultTime=04:00:00"
        )
    lines += [
        f"PartitionName=gpu Nodes={','.join(folded)} State=UP MaxTime=3-00:00:00"
        " DefaultTime=04:00:00 Default=YES",
        "SchedulerParameters     = bf_interval=30,bf_max_job_test=500",
        "PriorityType            = priority/multifactor",
        "PriorityWeightAge       = 1000",
        "PriorityMaxAge          = 7-00:00:00",
    ]
    return "\n".join(lines)


def submissions(options: argparse.Namespace) -> list[Submission]:
    """The month, with the load that is asked for."""
    rng = random.Random(options.seed)
    drafts: list[Submission] = []
    jobs = 0
    while jobs < options.jobs:
        drafts.append(_draft(rng, options, options.jobs - jobs))
        jobs += len(drafts[-1].seconds)
    work = dict.fromkeys(KINDS, 0.0)
    for one in drafts:
        work[one.kind] += one.devices * sum(one.seconds)
    there = options.nodes * EACH * options.days * DAY
    scale = {k: options.load * there * k.part / max(1.0, w) for k, w in work.items()}
    return sorted((_scaled(one, scale[one.kind], rng) for one in drafts), key=lambda one: one.at)


def _draft(rng: random.Random, options: argparse.Namespace, most: int) -> Submission:
    user = min(int(rng.paretovariate(0.7)) - 1, 149)
    kind = KINDS[rng.choices(range(len(KINDS)), [k.part for k in KINDS])[0]]
    sizes = [pair for pair in SIZES if pair[0] <= EACH * options.nodes * kind.part / 4]
    devices = rng.choices([size for size, _ in sizes], [weight for _, weight in sizes])[0]
    tasks = 1
    if devices <= EACH and rng.random() < 0.08:
        tasks = min(most, rng.choice((4, 8, 10, 20, 50, 100)))
    length = math.exp(rng.gauss(0.0, 1.6))
    each = tuple(length * math.exp(rng.gauss(0.0, 0.2 if tasks > 1 else 0.0)) for _ in range(tasks))
    named = rng.random()
    words = f"sbatch -p {kind.name} job.sh"
    if named < 0.1:
        words = f"sbatch -p gpu --gres=gpu:{kind.name}:{min(devices, EACH)} job.sh"
    elif named < 0.2 and kind.name in {"a100", "h100"}:
        words = "sbatch -p a100,h100 job.sh"
    return Submission(_moment(rng, options.days), user, kind, devices, each, 0, words)


def _moment(rng: random.Random, days: float) -> float:
    """When somebody submits: by day, by weekday."""
    while True:
        at = rng.uniform(0.0, days * DAY)
        likely = BY_HOUR[int(at % DAY // HOUR)] * BY_DAY[int(at // DAY) % 7]
        if rng.random() * max(BY_HOUR) * max(BY_DAY) < likely:
            return float(int(at))


def _scaled(one: Submission, scale: float, rng: random.Random) -> Submission:
    seconds = tuple(float(round(min(max(20.0, s * scale), 2.5 * DAY))) for s in one.seconds)
    longest = max(seconds) / 60
    limit = next(m for m in LIMITS if m >= longest)
    minutes = limit if rng.random() < 0.6 else LIMITS[-1]
    return Submission(one.at, one.user, one.kind, one.devices, seconds, minutes, one.words)


def records(there: Sequence[Submission]) -> Iterator[dict[str, str]]:
    """As sacct has them; each started when it came, on nodes that nobody looks at."""
    number = 1000
    for one in there:
        first = number
        nodes = max(1, one.devices // EACH)
        tres = (
            f"cpu={one.devices * DEVICES_CPUS},gres/gpu={one.devices},"
            f"mem={one.devices * DEVICES_MIB}M,node={nodes}"
        )
        partition = "gpu" if "gres" in one.words else one.kind.name
        asked = tres + (f",gres/gpu:{one.kind.name}={one.devices}" if partition == "gpu" else "")
        qos = tuple(QOS)[one.user % 3]
        for n, seconds in enumerate(one.seconds):
            at = BEGIN + int(one.at)
            yield {
                "JobIDRaw": str(number), "User": f"user{one.user}", "QOS": qos,
                "JobID": f"{first}_{n}" if len(one.seconds) > 1 else str(number),
                "Account": f"group{one.user % 12}", "Partition": partition, "State": "COMPLETED",
                "Submit": str(at), "Eligible": str(at), "Start": str(at),
                "End": str(at + int(seconds)), "ElapsedRaw": str(int(seconds)),
                "Suspended": "00:00:00", "TimelimitRaw": str(one.minutes),
                "Priority": str(10_000 + QOS[qos] + one.user), "ReqTRES": asked, "AllocTRES": tres,
                "NodeList": f"{one.kind.letter}1", "Reservation": "", "Constraints": "",
                "SubmitLine": one.words,
            }  # fmt: skip
            number += 1


def text_of(rows: Sequence[dict[str, str]]) -> str:
    """As sacct prints it."""
    head = {name: name for name in FIELDS}
    return "".join("".join(row[name] + MARK for name in FIELDS) + "\n" for row in (head, *rows))


def begun(rows: list[dict[str, str]], site: str) -> list[dict[str, str]]:
    """The same with the starts that the model of plain Slurm finds."""
    tally, there = Tally(), read_site(site, None)
    lines = text_of(rows).splitlines(keepends=True)
    past = read_sacct(lines, WallClock(), tally)
    trace = make_trace(past, there, tally, since=float(BEGIN), drop=0.0)
    began = time.process_time()
    model = one_side("plain", trace, there, Effort("first-fit"), lambda *_: None)
    print(f"the model of plain Slurm: {time.process_time() - began:.0f} CPU s", flush=True)
    starts = {s.key: at for s, at in zip(trace.subjects, model.starts, strict=True)}
    made = []
    for row in rows:
        at = starts.get(row["JobID"])
        if at is not None:
            start = BEGIN + math.ceil(at)
            grown = int(int(row["Priority"]) + 1000 * (start - int(row["Submit"])) / (7 * DAY))
            row = row | {
                "Start": str(start), "End": str(start + int(row["ElapsedRaw"])),
                "Priority": str(grown),
            }  # fmt: skip
        made.append(row)
    return made


def make(options: argparse.Namespace, directory: Path) -> None:
    """Write the files that the replay reads."""
    site = site_text(options.nodes)
    rows = list(records(submissions(options)))
    if not options.quick:
        rows = begun(rows, site)
    (directory / "site.txt").write_text(site)
    (directory / "jobs.txt").write_text(text_of(rows))


def main() -> None:
    """Make the month unless it is there, replay it, and print what that took."""
    options, further = _options()
    with tempfile.TemporaryDirectory(prefix="het-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "jobs.txt").exists():
            make(options, directory)
        words = [
            sys.executable, "-c", "from slurm_het.cli.admin import main; main()", "replay",
            str(directory / "jobs.txt"),
            "--site", str(directory / "site.txt"), "--out", str(directory / "result.json"),
            "--since", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN)), *further,
        ]  # fmt: skip
        began = time.monotonic()
        subprocess.run(words, check=True, env=os.environ | {"TZ": "UTC"})
        took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{took:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU s; the largest process"
        f" {used.ru_maxrss >> 10} MiB; load {os.getloadavg()[0]:.1f}"
    )


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--load", type=float, default=0.9, help="work ÷ devices (0.9)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true",
        help="a past in which all started when they came: as much work, a report without claims",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, help="keep the month there, or take the one there")
    parser.add_argument("further", nargs="*", help="options of slurm-het replay, after --")
    options = parser.parse_args()
    return options, options.further


if __name__ == "__main__":
    main()
