"""A site's own words for why jobs wait: a YAML file, by code.

    held: {say: "{reason} (your group leader holds it)", do: "ask your group leader"}

Of the code's sentence `{reason}` stands for ours; what is not named stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import yaml

from slurm_het.core.reasons.codes import ACTIONS
from slurm_het.core.views.job_rows import JobRow, View
from slurm_het.errors import HetError

MAX_WORDS = 400
OURS = "{reason}"


class Words(NamedTuple):
    """The sentence, with `{reason}` for ours, and what to do; '' is as it was."""

    say: str = ""
    do: str = ""


Wording = Mapping[str, Words]
"""By code."""


def load_wording(path: Path) -> Wording:
    """The words of a site's file; none where there is no such file. Raises HetError."""
    try:
        read = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise HetError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(read, dict):
        raise HetError(f"{path} has no codes", f"codes: {', '.join(ACTIONS)}")
    return {str(code): _words(path, str(code), given) for code, given in read.items()}


def _words(path: Path, code: str, given: object) -> Words:
    if code not in ACTIONS:
        raise HetError(f"{path}: no code {code[:40]!r}", f"codes: {', '.join(ACTIONS)}")
    known = isinstance(given, dict) and set(given) <= set(Words._fields)
    if not known or not all(isinstance(v, str) and len(v) <= MAX_WORDS for v in given.values()):  # type: ignore[attr-defined]  # a dict
        raise HetError(f"{path}: {code} is none of ours", f"say: and do:, at most {MAX_WORDS} long")
    return Words(**given)  # type: ignore[arg-type]


def reworded(view: View, wording: Wording) -> View:
    """The view with the site's words for why jobs wait."""
    if not wording:
        return view
    return replace(
        view, rows=tuple(_with(row, wording.get(row.code, Words())) for row in view.rows)
    )


def _with(row: JobRow, words: Words) -> JobRow:
    said = words.say.replace(OURS, row.reason) if words.say else row.reason
    return replace(row, reason=said, action=words.do or row.action)
