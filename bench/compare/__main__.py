"""The command line of the comparison: `./dev compare limit-user`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench.compare import report, scenario
from bench.compare.run import compare
from bench.compare.scenario import Scenario
from bench.compare.verdict import Comparison
from slurm_het.errors import HetError
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.layout import slurm_version

ALL = "all"
EXAMPLES = """examples:
  ./dev compare                      # the scenarios there are
  ./dev compare limit-user
  ./dev compare limit-user reservation --quick --json
  ./dev compare my-site.yaml --root "$(./dev root 24.11)"

a SCENARIO `all` stands for all there are
exit status: 0, or 1 if a bound is broken, or 2 if a scenario cannot be read or run
"""


def main() -> int:
    """Run the scenarios that are named, or list them."""
    parser = argparse.ArgumentParser(
        prog="./dev compare", description="The same cluster and the same submissions, once with"
        " plain Slurm and once with slurm-het, job by job from Slurm's own records.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a name, or a file")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="end each after its quick seconds")
    length.add_argument("--seconds", type=float, help="end each after so many")
    parser.add_argument("--all", action="store_true", help="show every job that fared worse")
    parser.add_argument("--json", action="store_true", help="for scripts: a line for each scenario")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep logs and journal in DIR")
    parser.add_argument("--root", type=Path, help="a Debian tree with another Slurm")
    options = parser.parse_args()
    if options.logs and options.logs.exists():
        parser.error(f"--logs: {options.logs} is there already; name one that is not")
    if options.root and slurm_root.current() != str(options.root.resolve()):
        slurm_root.enter(options.root.resolve(), "bench.compare", sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the sandboxes go down with us
    os.umask(0o022)  # the jobs' users enter what is made here
    try:
        return _list() if not options.scenarios else _all(options)
    except HetError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2


def _list() -> int:
    for name in scenario.names():
        found = scenario.load(scenario.path_of(name))
        mark = "  (does not hold yet)" if found.not_yet else ""
        print(f"{name:<24} {found.what}{mark}")
    return 0


def _all(options: argparse.Namespace) -> int:
    wanted = scenario.names() if options.scenarios == [ALL] else options.scenarios
    paths = {name: scenario.path_of(name) for name in wanted}
    read = {name: scenario.load(path) for name, path in paths.items()}
    status = 0
    for name, whole in read.items():
        seconds = whole.quick if options.quick else options.seconds
        shown = whole.until(seconds) if seconds else whole
        try:
            seen = _one(shown, paths[name], options.logs and options.logs / paths[name].stem)
        except HetError as error:
            print(f"compare: {name}: {error}", file=sys.stderr)
            status = 2
            continue
        print(json.dumps(report.data(name, seen)) if options.json else _text(name, seen, options))
        sys.stdout.flush()
        status = max(status, int(bool(seen.broken())))
    return status


def _one(found: Scenario, path: Path, logs: Path | None) -> Comparison:
    with tempfile.TemporaryDirectory(prefix="het-", ignore_cleanup_errors=True) as base:
        Path(base).chmod(0o755)
        return compare(found, found.topology(path), Path(base), say, logs)


def _text(name: str, seen: Comparison, options: argparse.Namespace) -> str:
    found = seen.scenario
    about = f"Slurm {slurm_version().text}, {found.seconds:g} s, {seen.plain.devices} devices"
    about += f"; the machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    if found.busy_from:
        about += f"; busy counts from {found.busy_from:g} s on"
    return f"{name}: {found.what}\n  {about}\n{report.text(seen, everything=options.all)}"


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
