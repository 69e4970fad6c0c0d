"""The words of a job script, with the line each stands on, and its `#HET` directives."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_SCRIPT = 65536
MAX_WORD = 64
_WORD = re.compile(r"[a-z0-9_][a-z0-9_.+-]*")
_MODULE = re.compile(r"(?:^|[;&]|\bthen\b)\s*(?:module\s+(?:load|add|swap|switch)|ml)\s+([^;&|]+)")
_COMMENT = re.compile(r"\s#.*")
_DIRECTIVE = re.compile(r"#HET\s+(.+)")


@dataclass(frozen=True, slots=True)
class Script:
    """`words` maps each lower-case word to the first line it stands on; directives as written."""

    words: dict[str, int]
    directives: tuple[tuple[int, str], ...]


def read_script(text: str) -> Script:
    """Collect words from commands (comments do not count) and `#HET key=value` directives.

    `rocm/6.0` gives rocm and 6.0; `vllm.entrypoints` gives also vllm; `train.py` gives also
    train; `module load rocm/6.0` gives also `module:rocm`. One pass, linear in the text.
    """
    words: dict[str, int] = {}
    directives: list[tuple[int, str]] = []
    seen = {""}  # a line that came before says nothing new
    for number, line in enumerate(text[:MAX_SCRIPT].splitlines(), 1):
        stripped = line.strip()
        if stripped in seen:
            continue
        seen.add(stripped)
        if stripped.startswith("#"):
            match = _DIRECTIVE.match(stripped)
            if match and len(directives) < 32:
                directives.append((number, match.group(1).strip()[:256]))
            continue
        for word in _line_words(_COMMENT.sub("", stripped.lower())):
            words.setdefault(word, number)
    return Script(words, tuple(directives))


def _line_words(line: str) -> set[str]:
    found: set[str] = set()
    for written in set(_WORD.findall(line)):
        word = written.rstrip(".+-")[:MAX_WORD]
        found.add(word)
        if "." in word:
            found.add(word.split(".", 1)[0])
    for modules in _MODULE.finditer(line):
        found |= {f"module:{m.split('/')[0]}"[:MAX_WORD] for m in set(modules.group(1).split())}
    return found


def parse_hints(text: str) -> dict[str, str]:
    """Read `key=value key=value` (or separated by `;`); odd items are left out."""
    hints: dict[str, str] = {}
    for item in re.split(r"[\s;]+", text):
        key, equals, value = item.partition("=")
        if equals and key and value:
            hints[key.lower()] = value.lower()
    return hints


def parse_gib(text: str) -> int | None:
    """`24`, `24g`, `24GiB`, `24000m` as whole GiB (rounded up); None if it is no amount."""
    match = re.match(r"(\d{1,7})\s*(g|gb|gib|m|mb|mib)?\Z", text.lower())
    if not match:
        return None
    amount = int(match.group(1))
    return -(-amount // 1024) if (match.group(2) or "g").startswith("m") else amount
