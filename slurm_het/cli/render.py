"""Text for terminals and pipes: what users wrote made harmless, columns that line up."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence


class Styled(str):
    """A line with the colour that a terminal is to show it in: numbers of ANSI's SGR."""

    __slots__ = ("style",)
    style: str

    def __new__(cls, text: str, style: str = "") -> Styled:
        """The text, with its style."""
        made = super().__new__(cls, text)
        made.style = style
        return made


def style_of(line: str) -> str:
    """The style of a line; '' if it has none."""
    return line.style if isinstance(line, Styled) else ""


def width(text: str) -> int:
    """How many terminal cells the (clean) text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, cells: int, mark: str = "") -> str:
    """The text in at most so many cells; what was cut ends in `mark`."""
    if width(text) <= cells:
        return text
    room = max(0, cells - width(mark))
    kept: list[str] = []
    for char in text:
        room -= _cells(char)
        if room < 0:
            break
        kept.append(char)
    return ("".join(kept) + mark) if cells >= width(mark) else "".join(kept)


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text filled with blanks to so many cells, on the left if it goes to the right."""
    blanks = " " * max(0, cells - width(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, cells: int) -> list[str]:
    """The text in lines of at most so many cells, as far as its words let it."""
    return textwrap.wrap(text, max(1, cells), break_on_hyphens=False)


def table(
    header: Sequence[str] | None, rows: Sequence[Sequence[str]], rights: Sequence[bool]
) -> list[str]:
    """Lines with columns as wide as their widest cell; the last column is never padded."""
    every = [header, *rows] if header is not None else list(rows)
    widths = [max((width(r[c]) for r in every), default=0) for c in range(len(rights))]
    last = len(rights) - 1
    lines = []
    for row in every:
        cells = [
            cell if c == last and not rights[c] else pad(cell, widths[c], right=rights[c])
            for c, cell in enumerate(row)
        ]
        lines.append(" ".join(cells).rstrip())
    return lines
