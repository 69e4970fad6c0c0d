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
from slurm_het.errors import HetError
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.layout import slurm_version

EXAMPLES = """examples:
  ./dev compare                      # the scenarios there are
  ./dev compare limit-user
  ./dev compare limit-user reservation --quick --json
  ./dev compare my-site.yaml --root "$(./dev root 24.11)"

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
    parser.add_argument("--root", type=Path, help="a Debian tree with another Slurm")
    options = parser.parse_args()
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
    chosen = [(name, scenario.path_of(name)) for name in options.scenarios]
    read: list[tuple[str, Path, Scenario]] = [(n, p, scenario.load(p)) for n, p in chosen]
    status = 0
    for name, path, found in read:
        seconds = found.quick if options.quick else options.seconds
        shown = found.until(seconds) if seconds else found
        with tempfile.TemporaryDirectory(prefix="het-", ignore_cleanup_errors=True) as base:
            Path(base).chmod(0o755)
            seen = compare(shown, shown.topology(path), Path(base), say)
        if options.json:
            print(json.dumps(report.data(name, seen)), flush=True)
        else:
            about = (
                f"Slurm {slurm_version().text}, {shown.seconds:g} s, {seen.plain.devices} devices"
            )
            if shown.busy_from:
                about += f"; busy counts from {shown.busy_from:g} s on"
            print(f"{name}: {found.what}\n  {about}")
            print(report.text(seen, everything=options.all), flush=True)
        status = max(status, int(bool(seen.broken())))
    return status


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
