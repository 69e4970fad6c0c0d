"""A cache that lives long and stays small."""

from __future__ import annotations

from typing import TypeVar

MOST = 20_000
"""Entries. States of nodes are many, and most of them never come back."""

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """What was worked out, by what was asked; it can all be worked out again.

    When it has MOST entries the next one makes it forget the others.
    """

    def __setitem__(self, question: K, answer: V) -> None:
        if len(self) >= MOST:
            self.clear()
        super().__setitem__(question, answer)
