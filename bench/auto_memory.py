"""How well the sizes that `memory=auto` learns cover a program's later runs, and what they save.

Usage: ./dev bench auto_memory [--seeds 11-20] [--programs 400] [--retry 0.5] [--record]

A site's programs, each of one user and one script, from a seed. They differ as programs do: in how
much of a card they take and ask for, in how often they run, and in how that changes from run to run
(KINDS). Every run passes through what hetd does at a job's end (Trials.after) and what the hook
does at its submission (learned_gib); a run that takes more than its share dies of it. Programs that
ask for `retry=yes` then run once more with half as much again. Of a peak up to UNSEEN is not seen,
for devices are read every few seconds. On seeds 1 to 5 it was looked whether the quantile and the
margin (core/jobs/sizes.py) do, and they were left as they were; the others were only counted.

- sized: runs that were given a learned share; covered: of those the ones that needed no more.
- dies: of the sized ones those that died at last: no second run, or that was too small as well.
- saved: of the memory that users ask for, by the runs that were sized; and by all runs, for until
  something is known `memory=auto` is a whole card.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields

from bench.results import head, numbers, record, table
from bench.scale import policy
from slurm_het.core.jobs.sizes import died_of, raised
from slurm_het.core.jobs.trials import Trials, learned_gib
from slurm_het.core.measured import MIB
from slurm_het.core.model import Job

CARD_GIB = 80
UNSEEN = 0.05
POLICY = policy()
KINDS = {  # how a program's runs differ, and how many of a hundred programs are so
    "steady": 30,  # a server that takes what its settings say
    "noisy": 25,  # inputs of other lengths
    "drifting": 15,  # a little more from run to run
    "bimodal": 10,  # of two inputs, the large one comes seldom
    "heavy tail": 8,  # now and then far more than ever
    "changed": 7,  # a new model, once: larger or smaller
    "few runs": 5,  # four to eight in all
}
COLUMNS = "programs", "number", "runs", "sized", "covered", "die", "saved, sized", "saved, all"


@dataclass
class Counts:
    """What came of the runs of one kind of program. Memory is GiB."""

    programs: int = 0
    runs: int = 0
    sized: int = 0
    covered: int = 0
    dies: int = 0
    asked_sized: float = 0.0
    given_sized: float = 0.0
    asked: float = 0.0
    given: float = 0.0

    def __iadd__(self, other: Counts) -> Counts:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self

    def row(self) -> list[str]:
        """As the table has it."""
        sized = max(1, self.sized)
        return [
            str(self.programs), str(self.runs), str(self.sized),
            f"{self.covered / sized:.2%}", f"{self.dies / sized:.2%}",
            f"{1 - self.given_sized / max(1.0, self.asked_sized):.0%}",
            f"{1 - self.given / max(1.0, self.asked):.0%}",
        ]  # fmt: skip


def peaks_of(kind: str, usual: float, dice: random.Random) -> Iterator[float]:
    """The GiB that a program takes at its peak, run by run, for ever."""
    spread = {"steady": 0.01, "noisy": dice.uniform(0.03, 0.12)}.get(kind, 0.03)
    slope = dice.uniform(0.001, 0.012) if kind == "drifting" else 0.0
    large, seldom = dice.uniform(1.2, 2.2), dice.uniform(0.05, 0.4)
    changes, by = dice.randrange(5, 40), dice.choice([0.6, 0.8, 1.3, 1.7])
    run = 0
    while True:
        peak = usual * (1 + slope) ** run * dice.lognormvariate(0.0, spread)
        if kind == "bimodal" and dice.random() < seldom:
            peak *= large
        elif kind == "heavy tail":
            peak *= 1 + 0.04 * (dice.paretovariate(2.0) - 1)
        elif kind == "changed" and run >= changes:
            peak *= by
        yield min(peak, CARD_GIB - 1.0)
        run += 1


def asks(usual: float, dice: random.Random) -> int:
    """The GiB that its user asks for without memory=auto: mostly a whole card, else with a margin
    of his own."""
    if dice.random() < 0.6:
        return CARD_GIB
    return min(CARD_GIB, math.ceil(usual * dice.uniform(1.3, 3.0)))


@dataclass
class Site:
    """What hetd has learned there, and its clock."""

    trials: Trials
    dice: random.Random
    clock: int = 0

    def end(self, user: str, peak: float, share: int, *, well: bool) -> None:
        """A run of a user's program ends."""
        self.clock += 600
        job = Job(
            self.clock, user=user, nodes="n1", state="COMPLETED" if well else "FAILED",
            exit_code=int(not well), tres_per_node=f"shard:{share}" if share else "gpu:1",
            submit_time=self.clock - 500, start_time=self.clock - 400, end_time=self.clock,
        )  # fmt: skip
        mib = int(peak * self.dice.uniform(1 - UNSEEN, 1) * MIB)
        told = self.trials.after(job, "program", "nvidia", mib, died_of(job, mib, POLICY))
        self.trials.put(told[1])


def run_once(site: Site, user: str, peak: float, retries: bool) -> tuple[int, bool, bool]:
    """The share that a run was given (0: a whole card), whether that covered it, and whether it
    ended well at last. Who dies of his share has had all of it."""
    share = learned_gib(site.trials.of(user, "program", ("nvidia",)))
    share = share if share < CARD_GIB else 0
    if covered := not share or peak <= share:
        site.end(user, peak, share, well=True)
        return share, covered, True
    site.end(user, share, share, well=False)
    if not retries:
        return share, False, False
    larger = min(CARD_GIB, raised(share))
    ends_well = peak <= larger
    site.end(user, min(peak, larger), larger, well=ends_well)
    return share, False, ends_well


def history(kind: str, retry: float, dice: random.Random) -> Counts:
    """All runs of one program."""
    usual = min(64.0, 2.0 + dice.lognormvariate(2.5, 0.7))
    asked, retries = asks(usual, dice), dice.random() < retry
    runs = dice.randint(4, 8) if kind == "few runs" else min(400, int(8 + dice.expovariate(1 / 50)))
    site, counts = Site(Trials(), dice), Counts(programs=1, runs=runs)
    peaks = peaks_of(kind, usual, dice)
    for peak, _ in zip(peaks, range(runs), strict=False):
        share, covered, well = run_once(site, "ann", peak, retries)
        asked_now = max(asked, math.ceil(peak))  # who knows it takes more asks for more
        counts.asked += asked_now
        counts.given += share or CARD_GIB
        if share:
            counts.sized += 1
            counts.covered += covered
            counts.dies += not well
            counts.asked_sized += asked_now
            counts.given_sized += share
    return counts


def site_of(seed: int, programs: int, retry: float) -> dict[str, Counts]:
    """What came of a site's programs, by kind."""
    dice = random.Random(seed)
    found = {kind: Counts() for kind in KINDS}
    for kind in dice.choices(list(KINDS), list(KINDS.values()), k=programs):
        found[kind] += history(kind, retry, dice)
    return found


def main() -> None:
    """Print the table, or record it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="11-20", help="`11-20` or `3`")
    parser.add_argument("--programs", type=int, default=400, help="of each seed (400)")
    parser.add_argument("--retry", type=float, default=0.5, help="of the programs, retry=yes (0.5)")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    sites = [site_of(seed, args.programs, args.retry) for seed in numbers(args.seeds)]
    totals, worst = {kind: Counts() for kind in KINDS}, 1.0
    every = Counts()
    for site in sites:
        whole = Counts()
        for kind, counts in site.items():
            totals[kind] += counts
            whole += counts
        every += whole
        worst = min(worst, whole.covered / max(1, whole.sized))
    rows = [[kind, *counts.row()] for kind, counts in totals.items()]
    lines = table(COLUMNS, [*rows, ["all", *every.row()]])
    lines += ["", f"The worst of {len(sites)} seeds covered {worst:.2%}."]
    command = f"./dev bench auto_memory --seeds {args.seeds} --programs {args.programs}"
    if args.record:
        record([*head("auto_memory", f"{command} --retry {args.retry:g}"), *lines])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
