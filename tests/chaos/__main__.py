"""The command line of the chaos runs: `./dev chaos --seed 1 --minutes 3`."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from slurm_het.sandbox import root as slurm_root
from tests.chaos import plants, table
from tests.chaos.check import check
from tests.chaos.deeds import Violation
from tests.chaos.faults import BY_NAME, SINGLE, each_seconds
from tests.chaos.records import Meta, Records, load
from tests.chaos.run import run

EXAMPLES = """examples:
  ./dev chaos --seed 7 --minutes 3
  ./dev chaos --seed 7 --minutes 3 --root "$(./dev root 26.05)"
  ./dev chaos --kills 200
  ./dev chaos --check DIR        # check a run's records again
"""


def main() -> int:
    """One run and its check; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(
        prog="./dev chaos", description="A seeded stream of submits, updates and failures against"
        " a sandbox; then Slurm's own records are checked.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--kills", type=int, default=0, help="only kill hetd, so often, under load")
    parser.add_argument("--site", action="store_true", help="with accounts, limits, reservations"
                        " and preemption")  # fmt: skip
    parser.add_argument("--faults", action="store_true", help="faults of what hetd stands on, two"
                        " at a time; is the gate open soon?")  # fmt: skip
    parser.add_argument("--each", nargs="*", metavar="NAME", choices=[*BY_NAME, []], default=None,
                        help="--faults, each (of these) alone and once, for --table")  # fmt: skip
    parser.add_argument("--table", type=Path, nargs="+", metavar="DIR", help="what runs with --each"
                        " showed, as docs/faults.md has it; run nothing")  # fmt: skip
    parser.add_argument("--pair", action="store_true", help="--faults, with two hetds")
    parser.add_argument("--plant", choices=plants.NAMES, default="", help="a fault in hetd or its"
                        " supervisor, which the check should find")  # fmt: skip
    parser.add_argument("--records", type=Path, help="a new directory for the records")
    parser.add_argument("--check", type=Path, metavar="DIR", help="check records, run nothing")
    parser.add_argument("--root", type=Path, help="a Debian tree with another Slurm")
    options = parser.parse_args()
    if options.check:
        return report(load(options.check))
    if options.table:
        print("\n".join(table.lines(options.table)))
        return 0
    if options.root and slurm_root.current() != str(options.root.resolve()):
        slurm_root.enter(options.root.resolve(), "tests.chaos", sys.argv[1:])
    os.umask(0o022)  # the jobs, which run as nobody, enter what is made here
    directory = options.records or new_directory() / "records"
    if directory.exists():
        parser.error(f"--records: {directory} is there already; name one that is not")
    if closed := closed_to_others(directory):
        parser.error(f"--records: the jobs, which write there, run as nobody; {closed} is closed")
    with tempfile.TemporaryDirectory(prefix="het-") as base:
        Path(base).chmod(0o755)
        mode = "site" if options.site else "faults" if options.faults else ""
        each: tuple[str, ...] = ()
        if options.each is not None:
            each = tuple(options.each) or tuple(fault.name for fault in SINGLE)
        minutes = each_seconds(each) / 60 if each else options.minutes
        more = {"mode": mode, "pair": options.pair, "each": each}
        meta = Meta(options.seed, minutes, options.kills, **more)
        run(meta, directory, Path(base) / "box", say, options.plant)
    return report(load(directory))


def new_directory() -> Path:
    """A temporary directory that others may enter; it stays, to be looked at."""
    made = Path(tempfile.mkdtemp(prefix="het-chaos-"))
    made.chmod(0o755)
    return made


def closed_to_others(directory: Path) -> Path | None:
    """The outermost directory on the way that others cannot enter."""
    there = [path for path in reversed(directory.resolve().parents) if path.exists()]
    return next((path for path in there if not path.stat().st_mode & stat.S_IXOTH), None)


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def report(records: Records) -> int:
    """Print what was seen; 1 if there is a violation."""
    print(summary(records))
    found = check(records)
    for violation in found:
        print(line_of(violation))
    meta = records.meta
    kills = f" --kills {meta.kills}" if meta.kills else ""
    kills += f" --{meta.mode}" if meta.mode else ""
    kills += " --pair" if meta.pair else ""
    kills += " --each" * bool(meta.each)
    print(f"{len(found)} violations in seed {meta.seed} on Slurm {meta.slurm}", end="")
    print(f"; again: ./dev chaos --seed {meta.seed} --minutes {meta.minutes:g}{kills}")
    return 1 if found else 0


def summary(records: Records) -> str:
    """What was done, in numbers."""
    done = [a for a in records.actions if a.ok]
    submits = [a for a in done if a.event.verb == "submit"]
    verbs: dict[str, int] = {}
    for action in done:
        verbs[action.event.verb] = verbs.get(action.event.verb, 0) + 1
    ran = sum(m.what == "end" for m in records.marks)
    if records.preempted:
        verbs["preempted"] = len(records.preempted)
    return (
        f"{len(submits)} jobs ({sum(a.event.tasks for a in submits)} tasks), {ran} runs to the end,"
        f" {len(records.polls)} looks; "
        + ", ".join(f"{n} {verb}" for verb, n in sorted(verbs.items()))
    )


def line_of(violation: Violation) -> str:
    """A violation as a line."""
    when = time.strftime("%H:%M:%S", time.localtime(violation.time))
    return f"{violation.rule.upper()} {violation.what} at {when}: {violation.text}"


if __name__ == "__main__":
    sys.exit(main())
