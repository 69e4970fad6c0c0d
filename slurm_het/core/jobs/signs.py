"""Signs: what in a job's script says on which vendors it can run, or which scenario it is.

A sign has a strength. The strongest that are found decide, each kept with its line as evidence:
what only one vendor's software has goes before what its users usually write, and that before what
the software of several vendors reads. The table is data/signs.yaml and the site's `signs:`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from slurm_het.core.jobs.launched import Shown, shown_by
from slurm_het.core.sign import STRENGTHS, Place, Sign, SignTable
from slurm_het.core.syntax.script import Script

_SHOWS: dict[Place, str] = {
    "modules": "loads",
    "images": "uses the image or environment",
    "variables": "sets",
    "programs": "runs",
    "words": "runs a program whose name says",
    "options": "runs",
    "arguments": "gives a program",
    "imports": "imports",
    "paths": "has the path",
    "urls": "installs from",
    "types": "asks for",
}
"""How a sign in each place is told."""


class Found(NamedTuple):
    """A sign that a script shows: its row in the table, the sign, and what shows it."""

    row: int
    sign: Sign
    shown: Shown

    def __str__(self) -> str:
        return f"line {self.shown.line} {_SHOWS[self.shown.place]} {self.shown.text[:40]}"


class Weighed(NamedTuple):
    """What the strongest signs say, and which: the vendors (none said: empty) with the first sign
    that decided and the first that was outweighed; the sign that tells the scenario."""

    vendors: tuple[str, ...]
    vendors_by: Found | None
    vendors_against: Found | None
    scenario_by: Found | None


def weigh(script: Script, table: SignTable, here: Collection[str] = ()) -> Weighed:
    """Find the signs in a script and weigh them.

    Of vendors alone that are not `here` (none named: all are) a sign says nothing: it is of another
    program with the same name, or of a script that runs elsewhere too.
    """
    found = find(script, table)
    if here:
        found = [f for f in found if not f.sign.vendors or not set(here).isdisjoint(f.sign.vendors)]
    strongest = _strongest([f for f in found if f.sign.vendors])
    over = {vendor for f in strongest for vendor in f.sign.over}
    deciding = [f for f in strongest if not over.issuperset(f.sign.vendors)] or strongest
    vendors = _together([f.sign.vendors for f in deciding])
    # Of equally strong ones the row that stands first in the table goes first.
    about = _strongest([f for f in found if f.sign.scenario])
    first = min(about, key=lambda f: f.row, default=None)
    return Weighed(
        vendors,
        deciding[0] if deciding else None,
        next((f for f in found if f.sign.vendors and not set(f.sign.vendors) & set(vendors)), None),
        first,
    )


def find(script: Script, table: SignTable) -> list[Found]:
    """The signs in a script, each at the first line that shows it."""
    found: dict[int, Found] = {}
    seen: set[tuple[Place, str]] = set()
    for shown in shown_by(script):
        before = len(seen)
        seen.add(shown[:2])
        if len(seen) == before:
            continue  # it stood on a line before
        for row in table.patterns[shown.place].rows(shown.text):
            found.setdefault(row, Found(row, table.rows[row], shown))
    return list(found.values())  # in the order of the lines


def _strongest(found: list[Found]) -> list[Found]:
    most = max((STRENGTHS.index(f.sign.strength) for f in found), default=0)
    return [f for f in found if STRENGTHS.index(f.sign.strength) == most]


def _together(said: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What equally strong signs say together: what all allow; if they exclude each other, any.

    Signs of two vendors in two branches of a script mean that it can run on both.
    """
    if not said:
        return ()
    common = set(said[0]).intersection(*said[1:])
    return tuple(sorted(common or set().union(*said)))
