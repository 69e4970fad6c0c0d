"""What our programs have in common: messages, warnings, their end, when they collect garbage."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

import click

from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError

T = TypeVar("T")
MAX_WARNINGS = 5
HIDDEN = {
    "jobs": "devices that others hold look free",
    "nodes": "types and what is free are not known",
    "partitions": "the gate's state is not known",
}


def say(program: str, text: str) -> None:
    """A message to whoever called, in a line or several; made harmless."""
    lines = [clean(line) for line in text.splitlines()]
    click.echo("\n".join([f"{program}: {lines[0]}", *lines[1:]]), err=True)


def result_of(run: Callable[[Coroutine[Any, Any, None]], None], asked: Awaitable[T]) -> T:
    """What is awaited, by asyncio.run or a Runner's.

    Those write what they return into a text that nobody reads, of a long queue for a tenth of a
    second (3.11 to 3.13).
    """
    found: list[T] = []

    async def keep() -> None:
        found.append(await asked)

    run(keep())
    return found[0]


def warnings_told(warnings: Sequence[str]) -> list[str]:
    """The first few warnings, and how many more there are."""
    told = [f"warning: {text}" for text in warnings[:MAX_WARNINGS]]
    more = len(warnings) - MAX_WARNINGS
    return [*told, f"warning: and {more} more like these"] if more > 0 else told


def hidden_told(hidden: Collection[str]) -> list[str]:
    """What Slurm may keep from whoever called, and what follows from that."""
    return [
        f"Slurm may keep {what} from you (PrivateData): {so}"
        for what, so in HIDDEN.items()
        if what in hidden
    ]


def has_blocks() -> bool:
    """Whether whoever reads the output can be shown more than ASCII.

    Python takes the C locale for UTF-8 by itself: the environment says what the terminal is.
    """
    coerced = os.environ.get("LC_CTYPE", "")
    said = os.environ.get("LC_ALL") or ("" if coerced == "C.UTF-8" else coerced)
    said = (said or os.environ.get("LANG", "")).upper().replace("-", "")
    encoding = (getattr(sys.stdout, "encoding", None) or "").upper().replace("-", "")
    return "UTF8" in said and encoding == "UTF8"


def tidy_seldom() -> None:
    """Have Python seldom look for garbage, and not in what a program begins with.

    Ours live for a second or make some 100,000 objects at a time, hardly any in reference loops: a
    look through them all takes 60 ms, a third of what `slurm-het why` thinks about a thousand jobs.
    """
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def run_program(program: str, command: click.Command) -> None:
    """Run a command: errors of ours are messages, not tracebacks."""
    tidy_seldom()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a job's name may not fit the terminal's charset
            stream.reconfigure(errors="replace")
    # Ctrl-C while squeue runs: asyncio would warn of the child that the terminal has ended too.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        command(standalone_mode=True)
    except HetError as error:
        say(program, str(error))
        sys.exit(1)
