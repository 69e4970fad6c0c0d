"""slurm-het render --install: the files that are slurm-het's own, put where they belong."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from slurm_het.cli.checks.hook import MAIN, is_hook
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
            f"next: {etc / MAIN} is the site's own: its last line before `return` is"
            f' to be dofile("{places[CHAIN]}")'
        )
    yield f"next: the lines of slurm.conf.add, and EpilogSlurmctld={places[EVENT]}, to slurm.conf;"
    yield "      systemctl restart slurmctld; systemctl enable --now hetd; slurm-het check"


def _install(file: Rendered) -> str:
    there = read(file.place)
    if there == file.text:
        return f"is there: {file.place}"
    if there is not None and not _ours(file.name, there):
        return f"left as it is, for it is the site's own: {file.place}"
    try:
        kept = _kept(file.place) if there is not None else None
        file.place.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if file.runs else 0o644
        owner = (os.geteuid(), os.getegid())
        write_whole(file.place.resolve(), file.text.encode(), mode, owner)  # a link stays one
    except OSError as error:
        raise HetError(f"cannot write {file.place}: {error.strerror}", "as root") from error
    return f"replaced: {file.place} (before: {kept})" if kept else f"installed: {file.place}"


def _ours(name: str, text: str) -> bool:
    """Whether an installed file is slurm-het's; the names of all but one are nobody else's."""
    return is_hook(text) if name == MAIN else "slurm-het" in text or "het_" in text


def _kept(path: Path) -> Path:
    """A copy of what is to be replaced, for the site may have written in it; one of each text."""
    content, there = path.read_bytes(), path.stat()
    copies = (path.with_name(f"{path.name}.~{number}~") for number in count(1))
    copy = next(c for c in copies if not c.exists() or c.read_bytes() == content)
    if not copy.exists():
        write_whole(copy, content, stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid))
    return copy


def read(path: Path) -> str | None:
    """What is in an installed file; None without one. Raises HetError."""
    try:
        with path.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(MAX_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}") from error
