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


_LIKELY = STRENGTHS.index("likely")


class Found(NamedTuple):
    """A sign that a script shows: its row in the table, the sign, what shows it, and as how strong
    it counts, for which vendors, and over which."""

    row: int
    sign: Sign
    shown: Shown
    strength: int
    vendors: tuple[str, ...]
    over: tuple[str, ...]

    @property
    def is_sure(self) -> bool:
        """Whether it counts as much as a sign can."""
        return self.strength == len(STRENGTHS) - 1

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
        found = [f for f in found if not f.vendors or not set(here).isdisjoint(f.vendors)]
    of_vendors = _side_by_side([f for f in found if f.vendors])
    strongest = _strongest(of_vendors)
    over = {vendor for f in strongest for vendor in f.over}
    deciding = [f for f in strongest if not over.issuperset(f.vendors)] or strongest
    vendors = _together([f.vendors for f in deciding])
    # Of equally strong ones the row that stands first in the table goes first.
    about = _strongest([f for f in found if f.sign.scenario])
    first = min(about, key=lambda f: f.row, default=None)
    return Weighed(
        vendors,
        deciding[0] if deciding else None,
        next((f for f in of_vendors if set(vendors).isdisjoint(f.vendors)), None),
        first,
    )


def find(script: Script, table: SignTable) -> list[Found]:
    """The signs in a script, each at the first line that shows it."""
    found: dict[int, Found] = {}
    seen: set[tuple[Place, str, bool]] = set()
    for shown in shown_by(script):
        before = len(seen)
        seen.add((shown.place, shown.text, shown.unsure))
        if len(seen) == before:
            continue  # it stood on a line before
        rows = table.shown(shown.place, shown.text)
        over = {vendor for row in rows for vendor in table.rows[row].over}
        for row in rows:
            if over and table.rows[row].vendors and over.issuperset(table.rows[row].vendors):
                continue  # one thing has one meaning: rocm/dtk-24.04 is DTK
            this = _found(row, table.rows[row], shown)
            if row not in found or found[row].strength < this.strength:
                found[row] = this
    return sorted(found.values(), key=lambda f: f.shown.line)


def _found(row: int, sign: Sign, shown: Shown) -> Found:
    """What is unsure is no sure sign of vendors, and nothing stands back behind it."""
    strength = STRENGTHS.index(sign.strength)
    if shown.unsure and sign.vendors:
        return Found(row, sign, shown, min(strength, _LIKELY), sign.vendors, ())
    return Found(row, sign, shown, strength, sign.vendors, sign.over)


def _side_by_side(found: list[Found]) -> list[Found]:
    """The same, where several of a group, or in one search path, mean all their vendors, and are as
    strong as the weakest."""
    groups: dict[str, list[Found]] = {}
    for f in found:
        groups.setdefault(f.sign.group or f.shown.beside, []).append(f)
    groups.pop("", None)
    for several in groups.values():
        if len(several) > 1:
            vendors = tuple(sorted({vendor for f in several for vendor in f.vendors}))
            weakest = min(f.strength for f in several)
            together = several[0]._replace(strength=weakest, vendors=vendors, over=())
            found = [together if f is several[0] else f for f in found if f not in several[1:]]
    return found


def _strongest(found: list[Found]) -> list[Found]:
    most = max((f.strength for f in found), default=0)
    return [f for f in found if f.strength == most]


def _together(said: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What equally strong signs say together: what all allow; if they exclude each other, any.

    Signs of two vendors in two branches of a script mean that it can run on both.
    """
    if not said:
        return ()
    common = set(said[0]).intersection(*said[1:])
    return tuple(sorted(common or set().union(*said)))
