"""The sections of RESULTS.md: what was run, on what machine and commit, and its table."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


def head(name: str, command: str, extra: str = "") -> list[str]:
    """A section's title, command and machine."""
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    # Another Debian tree has no git.
    there = shutil.which("git") is not None
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() if there else ""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    return [
        f"## {name}, {datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}",
        "",
        f"`{command}`  ",
        ", ".join(filter(None, [machine, extra])),
        "",
    ]


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table; all columns but the first are figures."""
    names = list(columns)
    rule = ["---", *["---:"] * (len(names) - 1)]
    return [f"| {' | '.join(row)} |" for row in (names, rule, *rows)]


def recorded(doc: str | None) -> argparse.ArgumentParser:
    """The parser of a program whose section is published; `doc` is its module's."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-record", action="store_true", help="print only")
    return parser


def publish(lines: Sequence[str], options: argparse.Namespace) -> None:
    """Print a section, and record it unless --no-record was given."""
    print("\n".join(lines), flush=True)
    if not options.no_record:
        record(lines)


def record(lines: Iterable[str], file: Path = RESULTS) -> None:
    """Put a section before the others: newest first."""
    text = file.read_text(encoding="utf-8")
    intro, mark, rest = text.partition("\n## ")
    section = "\n".join(lines).rstrip()
    file.write_text(f"{intro.rstrip()}\n\n{section}\n{mark}{rest}", encoding="utf-8")


def numbers(text: str) -> range:
    """`1-10` or `3`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
