"""A screen that is redrawn in place: only what has changed is sent, and nothing is cleared."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import click

from slurm_het.cli.program import say
from slurm_het.cli.render import Styled, cut, pad, style_of, width
from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
GAP = 8
"""Two changes of a line that are closer than this are sent as one: moving the cursor costs more."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is to be shown: messages, and the lines below them."""

    notes: Sequence[str] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Live:
    """How to show it again and again: every so many seconds, under which title; '' for what other
    programs read."""

    program: str
    seconds: int
    title: str


def patience(seconds: int) -> dict[str, int]:
    """For how many looks, so many seconds apart, what Slurm says of nodes, partitions and
    reservations is taken to last. Jobs are read each time: that makes no more calls of slurmctld
    than squeue -i and node info."""
    return {"node": 3, "partition": 3, "reservation": max(1, 30 // seconds)}


def colours() -> bool:
    """Whether the output may have colours: a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _term() != "dumb"


def _term() -> str:
    return os.environ.get("TERM", "dumb")


def print_once(program: str, screen: Screen) -> None:
    """Messages to stderr, the rest to stdout, with colours if they may be."""
    for note in screen.notes:
        say(program, note)
    coloured = colours()
    for line in screen.lines:
        style = style_of(line) if coloured else ""
        click.echo(f"\x1b[{style}m{line}\x1b[0m" if style else line, color=True)


def show_again(live: Live, make: Callable[[], Screen]) -> None:
    """Show what `make` gives, until Ctrl-C; Slurm being away for a while does not end it.

    On a terminal in place, else one below the other, each with the time.
    """
    in_place = bool(live.title) and sys.stdout.isatty() and _term() != "dumb"
    last = Screen()
    try:
        with _Terminal() if in_place else _Below() as out:
            while True:
                try:
                    last = screen = make()
                except HetError as error:
                    screen = Screen([str(error)], last.lines if in_place else ())
                out.show(live, screen)
                time.sleep(live.seconds)
    except KeyboardInterrupt:
        return


class _Below:
    """Where a pipe reads: one screen below the other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, live: Live, screen: Screen) -> None:
        if live.title:
            click.echo(time.strftime("%a %b %d %H:%M:%S %Y"))
        print_once(live.program, screen)
        if live.title:
            click.echo()
        sys.stdout.flush()


class _Terminal:
    """The terminal's other screen, which leaves what was before as it was."""

    def __enter__(self) -> Self:
        self.frame = Frame()
        _send(_ENTER)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        _send(_LEAVE)

    def show(self, live: Live, screen: Screen) -> None:
        size = shutil.get_terminal_size()
        lines = composed(live, screen, size)
        if not colours():
            lines = [str(line) for line in lines]
        _send(self.frame.changes(lines, size))


def _send(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def composed(live: Live, screen: Screen, size: os.terminal_size) -> list[str]:
    """The lines of a terminal: title and clock, messages, then as much as there is room for."""
    clock = time.strftime("%a %b %d %H:%M:%S")
    room = max(0, size.columns - len(clock) - 1)
    title = cut(clean(f"Every {live.seconds} s: {live.title}"), room, "~")
    head: list[str] = [Styled(f"{pad(title, room)} {clock}", "1")]
    for note in screen.notes:
        head += [Styled(cut(clean(part), size.columns, "~"), "31") for part in note.splitlines()]
    left = max(1, size.lines - len(head))
    lines = list(screen.lines)
    if len(lines) > left:
        more = len(lines) - left + 1
        lines = [*lines[: left - 1], Styled(f"and {more} more lines", "2")]
    return [*head, *lines][: size.lines]


class Frame:
    """What a terminal shows, line by line."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._size: os.terminal_size | None = None

    def changes(self, lines: Sequence[str], size: os.terminal_size) -> str:
        """What to send so that the terminal shows these lines."""
        if size != self._size:  # it may show anything now
            self._shown = [chr(0)] * size.lines
        out: list[str] = []
        style = ""
        new = [*lines, *[""] * (max(size.lines, len(self._shown)) - len(lines))][: size.lines]
        for row, (before, after) in enumerate(zip(self._shown, new, strict=True), 1):
            wanted = style_of(after)
            for column, text in _spans(before, after):
                out.append(f"\x1b[{row};{column + 1}H")
                if text and wanted != style:
                    out.append(f"\x1b[0{f';{wanted}' if wanted else ''}m")
                    style = wanted
                out.append(text)
                if column + width(text) >= width(after) and width(before) != width(after):
                    out.append("\x1b[K")
        if style:
            out.append("\x1b[0m")
        self._shown, self._size = list(new), size
        return "".join(out)


def _spans(before: str, after: str) -> Iterator[tuple[int, str]]:
    """The parts of a line that changed: from which column on, and what."""
    plain = len(before) == width(before) and len(after) == width(after)
    if not plain or style_of(before) != style_of(after) or before == chr(0):
        if before != after:
            yield 0, after
        return
    start, end = -1, -1
    for at, char in enumerate(after):
        if at < len(before) and before[at] == char:
            continue
        if start >= 0 and at - end > GAP:
            yield start, after[start:end]
            start = -1
        start, end = (at if start < 0 else start), at + 1
    if start >= 0:
        yield start, after[start:end]
    if len(before) > len(after) and end < len(after):
        yield len(after), ""
