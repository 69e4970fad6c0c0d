"""The lines of a job script that are its own: what it writes for others to run is left out.

Like the rest of what reads scripts this is no shell: linear in the text, and nothing makes it fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINES = 2000
"""The lines that are looked at."""
MAX_LINE = 4096
MAX_WRITTEN = 16
"""Of so many files that a script writes it is looked for who runs them; more are taken as run."""
_HEREDOC = re.compile(r"""(?<!<)<<-?\s{0,8}["'\\]?(\w{1,64})""")
_SHOWS = re.compile(r"\s*(?:sudo\s+)?(?:cat|tee)\b")
_SUBMITS = re.compile(r"\s*(?:\w+=\S*\s+)?(?:\w+=\$\()?sbatch\b")
_WRITTEN = re.compile(r"(?:>|\btee\s(?:\s*-\w+)*)\s*([^\s<>|&;]+)")
_PIPED = re.compile(r"\|\s*(?!tee\b|sbatch\b)\w")
_PIECES = re.compile(r"[;&|]+")
_DECORATION = re.compile(r"""[${}"'\\]""")
_HANDLES = frozenset({
    "chmod", "chown", "rm", "cp", "scp", "rsync", "sbatch", "echo", "printf", "cat", "tee",
    "ls", "git", "tar", "sed", "awk", "head", "tail", "grep", "dos2unix", "mkdir", "touch", "ln",
})  # fmt: skip
"""What does something with a file, but does not run it."""
_TRY = re.compile(r"(\s*)try\s*:")
_GOES_ON = re.compile(r"(?:except|else|finally)\b")
_IMPORTS = re.compile(r"(?:import|from)\s")
_OPENS = re.compile(r"(?:^|[;&|{]|\bthen\b|\belse\b|\bdo\b)\s*(?:if|case)\s")
_CLOSES = re.compile(r"(?:^|[;\s])(?:fi|esac|endif)(?=\s*(?:[;&|)>#]|$))")


class OwnLine(NamedTuple):
    """A line with continued ones put to it: the number of its first one, its text without blanks
    at its ends, and whether it is run only under a condition."""

    number: int
    text: str
    tried: bool


def own_lines(text: str) -> list[OwnLine]:
    """The different lines of a script, of more than MAX_LINES the first and the last.

    Left out is the text of a heredoc that is only shown, that is submitted as another job, or
    written to a file that this script does not run; and what Python only tries to import.
    """
    lines = list(_joined(text))
    found: dict[tuple[str, bool], int] = {}  # a line that came before says nothing new
    depth = 0
    skipped = _not_run(lines)
    tried_imports = _tried_imports([line for _, line in lines])
    for at, (number, line) in enumerate(lines):
        if at in skipped:
            continue
        stripped = line.strip()
        # A condition of Python's ends with a colon, one of csh's on one line has no `then`.
        shell = not stripped.endswith(":") and not (
            stripped.startswith(("if (", "if(")) and not stripped.endswith("then")
        )
        inside = depth + (len(_OPENS.findall(stripped)) if shell else 0)
        if at not in tried_imports and stripped:
            found.setdefault((stripped, inside > 0), number)
        depth = max(0, inside - len(_CLOSES.findall(stripped)))
    return [OwnLine(number, line, tried) for (line, tried), number in found.items()]


def _joined(text: str) -> Iterator[tuple[int, str]]:
    numbered = list(enumerate(text.splitlines(), 1))
    if len(numbered) > MAX_LINES:
        numbered = numbered[: MAX_LINES // 2] + numbered[-MAX_LINES // 2 :]
    begun, first = "", 0
    for number, line in numbered:
        first = first if begun else number
        whole = (begun + line).rstrip()
        begins = whole.endswith("\\") and not whole.lstrip().startswith("#")
        if begins and len(whole) < MAX_LINE:
            begun = whole[:-1] + " "
            continue
        begun = ""
        yield first, whole[:MAX_LINE]
    if begun:
        yield first, begun


def _not_run(lines: list[tuple[int, str]]) -> set[int]:
    """Where the lines stand that this script only shows, submits, or writes and does not run."""
    last = {line.strip(): at for at, (_, line) in enumerate(lines)}
    written: list[tuple[str, range]] = []
    skipped: set[int] = set()
    at = 0
    while at < len(lines):
        line = lines[at][1]
        begun = at + 1
        at = begun
        match = (
            _HEREDOC.search(line) if "<<" in line and not line.lstrip().startswith("#") else None
        )
        if not match or last.get(match[1], 0) < begun:
            continue
        while lines[at][1].strip() != match[1]:
            at += 1
        body = range(begun, at)
        if _SUBMITS.match(line):
            skipped.update(body)
        elif _SHOWS.match(line) and not _PIPED.search(line):
            file = _WRITTEN.search(line)
            if file and len(written) == MAX_WRITTEN:
                continue
            skipped.update(body)
            if file:
                written.append((file[1], body))
    own = [line for n, (_, line) in enumerate(lines) if n not in skipped] if written else []
    plain = _DECORATION.sub("", "\n".join(own)).split("\n")
    for name, body in written:
        if _is_run(name, plain):
            skipped.difference_update(body)
    return skipped


def _is_run(file: str, lines: list[str]) -> bool:
    """Whether a line does more with a file than to handle it."""
    name = _DECORATION.sub("", file).rpartition("/")[2].removesuffix(".py")
    pieces = (piece for line in lines if name in line for piece in _PIECES.split(line))
    return any(name in p and not _HANDLES.intersection(p.split(None, 1)[:1]) for p in pieces)


def _tried_imports(lines: list[str]) -> set[int]:
    """Where Python imports something that it can do without: in `try:` or in what belongs to it."""
    found: set[int] = set()
    indent = -1
    for at, line in enumerate(lines):
        stripped = line.lstrip()
        if match := _TRY.match(line):
            indent = len(match[1]) if indent < 0 else min(indent, len(match[1]))
        elif indent >= 0 and stripped:
            if len(line) - len(stripped) > indent or _GOES_ON.match(stripped):
                if _IMPORTS.match(stripped):
                    found.add(at)
            else:
                indent = -1
    return found
