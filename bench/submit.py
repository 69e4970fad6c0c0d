"""What the hook costs those who submit: `sbatch` per second without it, with hetd, with hetd dead.

    ./dev bench submit [--rounds 7] [--jobs 300] [--processes 8] [--no-record]

Three sandboxes run side by side: one plain Slurm (`none`), one whose job_submit.lua does nothing
(`empty`: what Slurm itself takes for having one), one with the hook. In each round 300 accelerator
jobs (`--gres=gpu:1`) are submitted from eight processes at once, to one after the other, the order
turning from round to round: `none`; `empty`; `healthy`, hetd runs and every job goes through it;
`dead`, hetd and its supervisor are stopped and the socket is gone, so that the hook fails, and its
circuit breaker is at work. The jobs are cancelled, and hetd is at rest again, before the next is
measured. Each process submits one script again and again. A first round is not counted.

The same work is compared: all nodes are drained and the intake is DOWN, natively too, so no job
starts anywhere; each `sbatch` names the intake. With hetd its own cycles run meanwhile (they find
no room), on the same CPUs as slurmctld and the submitters: that is part of what is measured. Ended
jobs are purged before each measurement (MinJobAge is 2 s here), because squeue's JSON has them too
on 22.05, and 300 in a second are no cluster's daily bread.

The rate on a machine that has other things to do is noise; so the CPU time of each submission is
told too, by process: of the submitters, slurmctld, munged, hetd, what it runs (`commands`: squeue,
scontrol), its hook process and its solver. Where all CPUs are busy the rate is its inverse.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from bench.churn import family
from bench.results import head, publish, recorded, table
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program, slurm_version
from slurm_het.sandbox.topology import INTAKE

VARIANTS = ("none", "empty", "healthy", "dead")
GOALS = {"healthy": 0.95, "dead": 0.98}
PARTS = ("sbatch", "slurmctld", "munged", "hook process", "hetd", "commands", "solver worker")
TICKS = os.sysconf("SC_CLK_TCK")
EMPTY = """function slurm_job_submit() return slurm.SUCCESS end
function slurm_job_modify() return slurm.SUCCESS end
return slurm.SUCCESS
"""
PATIENCE = 60.0
"""Seconds that one burst, and one wait, may take."""

Ended = SimpleQueue[tuple[float, int]]
"""Of each process: when its last sbatch ended (seconds, monotonic), and how many failed."""


def submitter(
    argv: list[str], env: Mapping[str, str], jobs: int, start: Barrier, ended: Ended
) -> None:
    """One process of users: `jobs` submissions, one after the other."""
    # Not subprocess: what Python adds to each sbatch would hide a part of what the hook adds.
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    start.wait(PATIENCE)
    failed = 0
    for _ in range(jobs):
        pid = os.posix_spawn(argv[0], argv, env, file_actions=silent)
        failed += os.waitpid(pid, 0)[1] != 0
    ended.put((time.monotonic(), failed))


def burst(box: Sandbox, jobs: int, processes: int) -> float:
    """Submit `jobs` jobs from `processes` processes at once; submissions per second."""
    argvs = []
    for number in range(processes):  # each user has one script, and submits it again and again
        script = box.layout.work / f"job{number}.sh"
        script.write_text(f"#!/bin/bash\nmodule load cuda\nsrun python train.py --fold {number}\n")
        argvs.append(
            [program("sbatch"), "-p", INTAKE, "--gres=gpu:1", "-o", os.devnull, str(script)]
        )
    context = multiprocessing.get_context("fork")
    start, ended = context.Barrier(processes + 1), context.SimpleQueue()
    shares = [len(range(first, jobs, processes)) for first in range(processes)]
    workers = [
        context.Process(target=submitter, args=(argv, box.env, share, start, ended), daemon=True)
        for argv, share in zip(argvs, shares, strict=True)
    ]
    for worker in workers:
        worker.start()
    start.wait(PATIENCE)
    began = time.monotonic()
    for worker in workers:
        worker.join(PATIENCE)
        if worker.exitcode != 0:
            raise HetError(f"{jobs} submissions did not end within {PATIENCE:g} s")
    times, failed = zip(*(ended.get() for _ in workers), strict=True)
    if sum(failed):
        raise HetError(f"{sum(failed)} of {jobs} submissions were refused", box.layout.log_tail(
            "slurmctld"))  # fmt: skip
    return float(jobs / (max(times) - began))


def wait(what: str, true: Callable[[], bool]) -> None:
    """Poll until true. Raises HetError."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise HetError(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.2)


def ask(box: Sandbox, *argv: str) -> str:
    """The output of a Slurm command that must succeed."""
    return str(box.run(argv, check=True).stdout)


def is_down(box: Sandbox) -> bool:
    """Whether the intake is DOWN."""
    return "State=DOWN" in ask(box, "scontrol", "-o", "show", "partition", INTAKE)


def prepare(box: Sandbox) -> None:
    """No job can start, and what ended is soon forgotten."""
    conf = box.layout.slurm_conf
    conf.write_text(re.sub(r"(?m)^MinJobAge=.*", "MinJobAge=2", conf.read_text()))
    ask(box, "scontrol", "reconfigure")
    ask(box, "scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=benchmark")


def clear(box: Sandbox) -> None:
    """Cancel everything, and wait until Slurm has forgotten it."""
    ask(box, "scancel", "--user=root")
    squeue = ("squeue", "-h", "-a", "--states=all", "-o", "%A")
    wait("all jobs are purged", lambda: not ask(box, *squeue).strip())


def hook_micros(box: Sandbox, skip: int) -> list[int]:
    """What each call of the hook that was logged after `skip` bytes took, in microseconds."""
    with box.layout.log_of("slurmctld").open(errors="replace") as log:
        log.seek(skip)
        return [int(us) for us in re.findall(r"slurm-het: .* us=(\d+)", log.read())]


def cpu_seconds(box: Sandbox) -> Mapping[str, float]:
    """The CPU time so far, by process, of what a submission keeps busy; ended children included."""
    found: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    pids = [(p.pid, p.name) for p in box.daemons() if p.name in {"slurmctld", "munged"}]
    pids += family(box.hetd_pid() or 0) if box.hetd_pid() else []
    for pid, name in pids:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] += sum(int(ticks) for ticks in stat[11:13]) / TICKS
        found["commands"] += sum(int(ticks) for ticks in stat[13:15]) / TICKS
    own = os.times()
    found["sbatch"] = own.children_user + own.children_system
    return found


@dataclass(frozen=True)
class Burst:
    """One variant, once: submissions per second, CPU ms of each by process, the hook's own µs."""

    rate: float
    parts: Mapping[str, float]
    hook_us: float

    @property
    def cpu_ms(self) -> float:
        """CPU ms of each submission."""
        return sum(self.parts.values())


def measure(variant: str, box: Sandbox, jobs: int, processes: int) -> Burst:
    """Submit once, from rest to rest."""
    if variant == "healthy":
        box.start_hetd()
    else:
        ask(box, "scontrol", "update", f"PartitionName={INTAKE}", "State=DOWN")
    wait("the gate is closed", lambda: is_down(box))
    time.sleep(1.0)  # hetd's first cycles are over
    log = box.layout.log_of("slurmctld").stat().st_size
    before = cpu_seconds(box)
    rate = burst(box, jobs, processes)
    after = cpu_seconds(box)
    parts = {name: (after[name] - before[name]) / jobs * 1e3 for name in PARTS}
    micros = hook_micros(box, log)
    expected = 0 if variant in {"none", "empty"} else jobs
    if len(micros) != expected:
        raise HetError(f"{variant}: the hook was asked {len(micros)} times, not {expected}")
    time.sleep(1.0)  # and its last ones
    box.stop_hetd()
    clear(box)
    return Burst(rate, parts, statistics.median(micros or [0]))


def order(number: int) -> tuple[str, ...]:
    """The variants in the order of a round: none of them always comes first."""
    turn = number % len(VARIANTS)
    return VARIANTS[turn:] + VARIANTS[:turn]


def rows(seen: Mapping[str, Sequence[Burst]]) -> list[list[str]]:
    """A row per variant: medians, and the ratio to `none` of the same round."""
    out = []
    for name in VARIANTS:
        rates = [b.rate for b in seen[name]]
        ratios = [a.rate / b.rate for a, b in zip(seen[name], seen["none"], strict=True)]
        less = [b.cpu_ms / a.cpu_ms for a, b in zip(seen[name], seen["none"], strict=True)]
        out.append([
            name, f"{statistics.median(rates):.0f}", f"{min(rates):.0f}–{max(rates):.0f}",
            f"{statistics.median(ratios):.3f}", " ".join(f"{r:.2f}" for r in ratios),
            f"{GOALS[name]:.2f}" if name in GOALS else "–",
            f"{statistics.median(b.cpu_ms for b in seen[name]):.2f}",
            f"{statistics.median(less):.3f}",
            f"{statistics.median(b.hook_us for b in seen[name]):.0f}",
            *(f"{statistics.median(b.parts[part] for b in seen[name]):.2f}" for part in PARTS),
        ])  # fmt: skip
    return out


COLUMNS = (
    "hook", "sbatch/s, median", "lowest–highest", "÷ none, median", "÷ none, by round", "goal",
    "CPU ms", "none's CPU ÷ it", "hook's own µs", *PARTS,
)  # fmt: skip


def main() -> None:
    """Print the table, and put it into RESULTS.md."""
    options = parse()
    seen: dict[str, list[Burst]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with (
            Sandbox.up(base / "nat", hetd=False, hook=False) as native,
            Sandbox.up(base / "emp", hetd=False) as empty,
            Sandbox.up(base / "het", hetd=False) as het,
        ):
            (empty.layout.etc / "job_submit.lua").write_text(EMPTY)
            boxes = {"none": native, "empty": empty, "healthy": het, "dead": het}
            for box in (native, empty, het):
                prepare(box)
            for number in range(-1, options.rounds):
                for name in order(number):
                    made = measure(name, boxes[name], options.jobs, options.processes)
                    print(
                        f"round {number + 1:>2} {name:<8} {made.rate:6.1f}/s  {made.cpu_ms:.2f} ms"
                        f"  hook {made.hook_us:.0f} µs  "
                        + " ".join(f"{part} {made.parts[part]:.2f}" for part in PARTS),
                        flush=True,
                    )
                    if number >= 0:
                        seen[name].append(made)
    command = f"./dev bench submit --rounds {options.rounds} --jobs {options.jobs}"
    command += f" --processes {options.processes}"
    load = f"load average {os.getloadavg()[0]:.1f}"
    text = [
        *head("submit", command, f"Slurm {slurm_version().text}, {load} at the end"),
        *table(COLUMNS, rows(seen)),
    ]
    publish(text, options)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="that count (7)")
    parser.add_argument("--jobs", type=int, default=300, help="of a burst (300)")
    parser.add_argument("--processes", type=int, default=8, help="that submit at once (8)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
