"""The lines of a job script that are its own: what it writes for others to run is left out.

Like the rest of what reads scripts this is no shell: linear in the text, and nothing makes it fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
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
    numbered = list(_joined(text))
    lines = [line for _, line in numbered]
    heredocs = _heredocs(lines)
    left_out = _not_run(lines, heredocs) | _tried_imports(lines)
    tried = _conditional(lines, [body for _, body in heredocs])
    found: dict[tuple[str, bool], int] = {}  # a line that came before says nothing new
    for at, (number, line) in enumerate(numbered):
        if at not in left_out and (stripped := line.strip()):
            found.setdefault((stripped, tried[at]), number)
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


def _heredocs(lines: list[str]) -> list[tuple[str, range]]:
    """The lines that begin them, and where their text stands."""
    last = {line.strip(): at for at, line in enumerate(lines)}
    found: list[tuple[str, range]] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        begun = at + 1
        at = begun
        match = (
            _HEREDOC.search(line) if "<<" in line and not line.lstrip().startswith("#") else None
        )
        if not match or last.get(match[1], 0) < begun:
            continue
        while lines[at].strip() != match[1]:
            at += 1
        found.append((line, range(begun, at)))
    return found


def _conditional(lines: list[str], heredocs: list[range]) -> list[bool]:
    """Of each line, whether it is run only under a condition: from an `if` to its own `fi`. What
    nothing closes is none of the shell's. The text of a heredoc closes nothing outside of it."""
    inside = {at for body in heredocs for at in body}
    changes = [0] * (len(lines) + 1)
    for block in ([at for at in range(len(lines)) if at not in inside], *heredocs):
        opened: list[int] = []
        for at in block:
            stripped = lines[at].strip()
            # A condition of Python's ends with a colon, one of csh's on one line has no `then`.
            of_csh = stripped.startswith(("if (", "if(")) and not stripped.endswith("then")
            if not stripped.endswith(":") and not of_csh:
                opened += [at] * len(_OPENS.findall(stripped))
            for _ in _CLOSES.findall(stripped)[: len(opened)]:
                changes[opened.pop()] += 1
                changes[at + 1] -= 1
    return [depth > 0 for depth in accumulate(changes[:-1])]


def _not_run(lines: list[str], heredocs: list[tuple[str, range]]) -> set[int]:
    """Where the lines stand that this script only shows, submits, or writes and does not run."""
    written: list[tuple[str, range]] = []
    skipped: set[int] = set()
    for line, body in heredocs:
        if _SUBMITS.match(line):
            skipped.update(body)
        elif _SHOWS.match(line) and not _PIPED.search(line):
            file = _WRITTEN.search(line)
            if file and len(written) == MAX_WRITTEN:
                continue
            skipped.update(body)
            if file:
                written.append((file[1], body))
    own = [line for at, line in enumerate(lines) if at not in skipped] if written else []
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
