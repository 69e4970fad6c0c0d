"""Signs: what in a job's script says where it can run, or what it is. The nouns; data/signs.yaml
and the site's `signs:` fill the table, core/jobs/signs.py looks for them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Literal, get_args

from slurm_het.core.model import Scenario

Place = Literal[
    "modules", "images", "variables", "programs", "words", "options", "arguments", "imports",
    "paths", "urls", "types",
]  # fmt: skip
"""Where a sign can stand; docs/evidence.md tells what each is."""
PLACES: tuple[Place, ...] = get_args(Place)
MAX_NAME = 128
_ANYWHERE: frozenset[Place] = frozenset({"paths", "urls"})
"""Places where a pattern may match any part of what stands there."""
STRENGTHS = ("hint", "likely", "sure")
"""How sure a sign is, weakest first. sure: only these vendors' software has it; likely: whoever
writes it means these; hint: others read it too, or write it for another reason."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What in a script says on which vendors it can run, or which scenario it is, and why.

    `over`: the vendors whose software theirs was made from, so that signs of those beside this one
    say nothing. `group`: scripts for any vendor's devices set all of a group; several of it found
    together mean all their vendors, and are as strong as the weakest. Each place has patterns in
    lower case, with `*`, `?` and `[0-9]` as in a shell; what the places are: docs/evidence.md.
    """

    name: str
    why: str
    strength: str = "sure"
    vendors: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    group: str = ""
    scenario: Scenario | None = None
    modules: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


class Patterns:
    """The patterns of one place, ready to be looked for: exact ones in a table, the others by the
    two letters that they begin with, so that most texts are held against none."""

    def __init__(self, place: Place, rows: Iterable[Sign]) -> None:
        self._exact: dict[str, list[int]] = {}
        globs: dict[str, list[tuple[str, int]]] = {}
        for number, sign in enumerate(rows):
            for pattern in getattr(sign, place):
                if place in _ANYWHERE:
                    globs.setdefault("", []).append((_anywhere(pattern), number))
                elif special := re.search(r"[*?\[]", pattern):
                    start = pattern[:2] if special.start() >= 2 else ""
                    globs.setdefault(start, []).append((fnmatch.translate(pattern), number))
                else:
                    self._exact.setdefault(pattern, []).append(number)
        self._starts = {start: _Globs(several) for start, several in globs.items() if start}
        self._any = _Globs(globs.get("", []), anywhere=place in _ANYWHERE)

    def rows(self, text: str) -> list[int]:
        """The rows of the table that a text in lower case is a sign of."""
        rows = self._exact.get(text, [])
        if some := self._starts.get(text[:2]):
            rows = rows + some.rows(text)
        return rows + self._any.rows(text)


class _Globs:
    """Patterns, each with the row that it is of."""

    def __init__(self, several: Iterable[tuple[str, int]], *, anywhere: bool = False) -> None:
        by_row: dict[int, list[str]] = {}
        for pattern, row in several:
            by_row.setdefault(row, []).append(pattern)
        holds = re.Pattern.search if anywhere else re.Pattern.match
        self._rows = [
            (partial(holds, re.compile("|".join(patterns))), row)
            for row, patterns in by_row.items()
        ]
        self._first = partial(holds, re.compile("|".join(chain(*by_row.values())) or "(?!)"))

    def rows(self, text: str) -> list[int]:
        """The rows of the patterns that a text matches."""
        if not self._first(text):
            return []
        return [row for holds, row in self._rows if holds(text)]


def _anywhere(pattern: str) -> str:
    """A pattern that may stand in any part of a text: nothing is asked of what is around it."""
    return fnmatch.translate(pattern).removesuffix(r"\Z").removesuffix(r"\z")


@dataclass(frozen=True)
class SignTable:
    """The signs, the site's own first."""

    rows: tuple[Sign, ...] = ()

    @cached_property
    def patterns(self) -> dict[Place, Patterns]:
        """The patterns of each place."""
        return {place: Patterns(place, self.rows) for place in PLACES}

    def shown(self, place: Place, text: str) -> list[int]:
        """The rows that what stands in a place is a sign of.

        Of a variable in a group only that group's rows say something, and those before them.
        """
        rows = self.patterns[place].rows(text)
        name, blank, _ = text.partition(" ")
        named = self.patterns[place].rows(name) if blank and place == "variables" else rows
        alone = [row for row in named if self.rows[row].group]
        return [row for row in rows if row <= max(alone)] if alone else rows

    def asked_for(self, name: str) -> list[Sign]:
        """What the parts of the name of a type or a feature are signs of."""
        parts = re.split(r"[^a-z0-9]+", name.lower()[:MAX_NAME])
        return [self.rows[row] for part in parts for row in self.patterns["types"].rows(part)]
