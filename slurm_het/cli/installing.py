"""slurm-het render --install: the files that are slurm-het's own, put where they belong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm_het.cli.checks.reading import MAX_FILE
from slurm_het.cli.whole_file import write_whole
from slurm_het.errors import HetError

OF_THE_SITE = {"gres.conf", "task_prolog"}
"""For compute nodes too, and maybe with more in them than slurm-het knows."""
CHAIN, EVENT, UNIT = "het_chain.lua", "het_event.lua", "hetd.service"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file: its name below the directory, its text, where it is installed, and whether it runs.

    Only what is `needed` is looked for on this host.
    """

    name: str
    text: str
    place: Path
    runs: bool = False
    needed: bool = True


def install(files: Sequence[Rendered], etc: Path) -> Iterator[str]:
    """Write what is new or older, if it is ours; a line for each, then what is left to do.

    `etc` is slurm.conf's directory. Raises HetError.
    """
    beside = any(file.name == CHAIN and file.place.parent != etc for file in files)
    for file in files:
        if file.name not in OF_THE_SITE and (file.needed or (beside and file.name == CHAIN)):
            yield _install(file)
    places = {file.name: file.place for file in files}
    if beside:
        yield (
            f"next: {etc / 'job_submit.lua'} is the site's own: its last line before `return` is"
            f' to be dofile("{places[CHAIN]}")'
        )
    yield f"next: the lines of slurm.conf.add, and EpilogSlurmctld={places[EVENT]}, to slurm.conf;"
    yield "      systemctl restart slurmctld; systemctl enable --now hetd; slurm-het check"


def _install(file: Rendered) -> str:
    there = read(file.place)
    if there == file.text:
        return f"is there: {file.place}"
    if there is not None and not ("slurm-het" in there or "het_" in there):
        return f"left as it is, for it is the site's own: {file.place}"
    try:
        file.place.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if file.runs else 0o644
        write_whole(file.place, file.text.encode(), mode, (os.geteuid(), os.getegid()))
    except OSError as error:
        raise HetError(f"cannot write {file.place}: {error.strerror}", "as root") from error
    return f"{'installed' if there is None else 'replaced'}: {file.place}"


def read(path: Path) -> str | None:
    """What is in an installed file; None without one. Raises HetError."""
    try:
        with path.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(MAX_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}") from error
