"""Slurm's --constraint expressions: `a100|h100`, `a&(b|c)`, `[rack1|rack2]`.

Counts (`a*2`) are not read: a job that uses them is left to plain Slurm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from slurm_het.errors import HetError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # the hook assigns no field that has one
_TOKEN = re.compile(r"\s*([&|()\[\],]|[^&|()\[\],\s*]+)")
MAX_TEXT = 1024
MAX_DEPTH = 16
MAX_TURNS = 64
"""From & to | and back, each of which is a level of its own."""


@dataclass(frozen=True, slots=True)
class Features:
    """A parsed expression: `alternatives` are matching-OR choices (one for all nodes)."""

    alternatives: tuple[Expression, ...]

    def allows(self, features: frozenset[str]) -> bool:
        """Whether a node with these features satisfies some alternative."""
        return any(e.holds(features) for e in self.alternatives)


@dataclass(frozen=True, slots=True)
class Expression:
    """An AND or OR of names and sub-expressions; an empty AND always holds."""

    any_of: bool
    parts: tuple[str | Expression, ...]

    def holds(self, features: frozenset[str]) -> bool:
        """Whether a node's features satisfy the expression."""
        results = (p in features if isinstance(p, str) else p.holds(features) for p in self.parts)
        return any(results) if self.any_of else all(results)


@lru_cache(maxsize=1024)  # asked for every task and node, and the texts are few
def parse_features(text: str) -> Features:
    """Read a --constraint expression; empty means no constraint.

    Raises HetError for counts, for control characters and for what Slurm would not take either.
    """
    if _CONTROL.search(text):
        raise HetError(f"constraint {text[:80]!r} has control characters")
    text = text.strip()
    if text in {"", "(null)"}:
        return Features((Expression(False, ()),))
    if len(text) > MAX_TEXT or "*" in text:
        raise HetError(f"constraint {text[:80]!r} has counts or is too long")
    if text.startswith("[") and text.endswith("]") and "[" not in text[1:]:
        inner = _Parser(text[1:-1]).parse()
        if inner.any_of:
            return Features(tuple(_wrap(p) for p in inner.parts))
        return Features((inner,))
    return Features((_Parser(text).parse(),))


def _wrap(part: str | Expression) -> Expression:
    return part if isinstance(part, Expression) else Expression(False, (part,))


def _join(left: Expression, any_of: bool, right: str | Expression) -> Expression:
    if left.any_of == any_of or len(left.parts) == 1:
        return Expression(any_of, (*left.parts, right))
    return Expression(any_of, (left, right))


class _Parser:
    """Recursive descent; operators are taken from left to right, without precedence, as Slurm."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)
        if "".join(self.tokens) != re.sub(r"\s", "", text):
            raise self.bad()
        self.at = 0
        self.turns = 0

    def parse(self) -> Expression:
        expression = self.alternation(0)
        if self.at != len(self.tokens):
            raise self.bad()
        return expression

    def bad(self) -> HetError:
        return HetError(f"cannot read the constraint {self.text[:80]!r}", "such as a100|h100")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def alternation(self, depth: int) -> Expression:
        left = Expression(False, (self.atom(depth),))
        before = ""
        while (operator := self.peek()) in {"|", "&", ","}:
            self.at += 1
            self.turns += operator != before
            before = operator
            if self.turns > MAX_TURNS:
                raise self.bad()
            left = _join(left, operator == "|", self.atom(depth))
        return left

    def atom(self, depth: int) -> str | Expression:
        item = self.peek()
        self.at += 1
        if item == "(" and depth < MAX_DEPTH:
            inner = self.alternation(depth + 1)
            if self.peek() != ")":
                raise self.bad()
            self.at += 1
            return inner
        if not item or item in "&|()[],":
            raise self.bad()
        return item


def combine(user: str, *groups: Iterable[str], one_for_all: bool) -> str:
    """The user's constraint AND any one name of each group; `one_for_all` wants the same on all
    nodes.

    Ours are appended: Slurm goes from left to right, so they bear on all that stands before, and it
    refuses parentheses around what has some ("Invalid feature specification"). Matching-OR brackets
    cannot be combined with AND: with a user's constraint the plain OR is written (a wider one), and
    a user's own brackets are left alone. What the user restricted is never loosened.
    """
    ours = [sorted(set(names)) for names in groups]
    user = "" if user == "(null)" else user.strip()
    if "[" in user:
        return user
    if not user and len(ours) == 1:
        (names,) = ours
        return f"[{'|'.join(names)}]" if one_for_all and len(names) > 1 else "|".join(names)
    added = [f"({'|'.join(names)})" if len(names) > 1 else "".join(names) for names in ours]
    return "&".join(filter(None, [user, *added]))
