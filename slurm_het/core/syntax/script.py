"""A job script, read as far as it says what it runs: its commands, directives and words.

This is no shell. It takes apart what people write into job scripts, one line after the other, in
time that is linear in the text, and nothing that stands there can make it fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

MAX_SCRIPT = 65536
"""The characters of a script that are read."""
MAX_LINES = 1000
"""The different lines that are read, and the commands: more says nothing of what a job runs."""
MAX_LINE = 4096
MAX_WORD = 64
_WORD = re.compile(r"[a-z0-9_][a-z0-9_.+-]*")
# `#HET vendors=amd`, and as people also write it: #het, # HET, #HET: vendors = amd
_DIRECTIVE = re.compile(r"#\s{0,8}HET\b", re.IGNORECASE)
# Options of Slurm's plugins for containers, which say what each step runs in.
_CONTAINER = re.compile(r"#SBATCH\s+--(?:container-image|image|environment|uenv|module)[= ]\S")
_COMMENT = re.compile(r"\s#.*")
# A word of the shell with the quoted parts in it, or what stands between commands.
_TOKEN = re.compile(
    r"""(?:[^\s"'`;&|()\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+|&&|\|\||[;&|()`]""", re.DOTALL
)
_BETWEEN = frozenset({"&&", "||", ";", "&", "|", "(", ")", "`"})
_QUOTES = re.compile(r"""["'\\]""")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_RUN = re.compile(r"-\w{0,8}c")
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh"})
_SETS_VARIABLES = frozenset({"export", "declare", "typeset", "local", "readonly", "env"})


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the line that it begins on, the variables that it sets, and its words.

    Quotes are taken off the words. `export A=1` is a command that sets A and has no words.
    """

    line: int
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    """The commands of a script, its directives with their lines as written, and its text."""

    commands: tuple[Command, ...] = ()
    directives: tuple[tuple[int, str], ...] = ()
    text: str = field(default="", repr=False)

    @cached_property
    def words(self) -> dict[str, int]:
        """Each lower-case word with the first line it stands on; comments do not count.

        `rocm/6.0` gives rocm and 6.0; `vllm.entrypoints` gives also vllm; `train.py` gives also
        train; `module load rocm/6.0` gives also `module:rocm`.
        """
        found: dict[str, int] = {}
        for number, line in _lines(self.text):
            if not line.startswith("#"):
                for written in _WORD.findall(_COMMENT.sub("", line.lower())):
                    word = written.rstrip(".+-")[:MAX_WORD]
                    found.setdefault(word, number)
                    found.setdefault(word.split(".", 1)[0], number)
        for command in self.commands:
            for module in loaded_modules(command):
                found.setdefault(f"module:{module.split('/')[0].lower()}"[:MAX_WORD], command.line)
        return found


def read_script(text: str) -> Script:
    """The commands and the `#HET key=value` directives of a script. Linear in the text."""
    text = text[:MAX_SCRIPT]
    commands: list[Command] = []
    directives: list[tuple[int, str]] = []
    for number, line in _lines(text):
        if line.startswith("#"):
            match = _DIRECTIVE.match(line)
            if match and "=" in line and len(directives) < 32:
                directives.append((number, line[match.end() :].lstrip(" \t:").strip()[:256]))
            elif _CONTAINER.match(line) and len(commands) < MAX_LINES:
                commands += _commands(number, f"srun {line[7:]}")
        elif len(commands) < MAX_LINES:
            commands += _commands(number, line)
    return Script(tuple(commands[:MAX_LINES]), tuple(directives), text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The different lines, continued ones put together, each with the number of its first one."""
    seen = {""}  # a line that came before says nothing new
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if begun else number
        stripped = (begun + line).strip()
        if stripped.endswith("\\") and not stripped.startswith("#") and len(stripped) < MAX_LINE:
            begun = stripped[:-1] + " "
            continue
        begun = ""
        if stripped not in seen:
            seen.add(stripped)
            yield first, stripped[:MAX_LINE]
            if len(seen) > MAX_LINES:
                return
    if begun:
        yield first, begun.strip()


def _commands(number: int, line: str, depth: int = 0) -> list[Command]:
    found: list[Command] = []
    words: list[str] = []
    for written in _TOKEN.findall(line):
        comment = written.startswith("#")
        if not comment and written not in _BETWEEN:
            words.append(written)
            continue
        if words:
            found += _command(number, words, depth)
            words = []
        if comment:
            break
    return found + (_command(number, words, depth) if words else [])


def _command(number: int, tokens: list[str], depth: int) -> list[Command]:
    variables: list[tuple[str, str]] = []
    words: list[str] = []
    setting = True
    for token in tokens:
        word = _QUOTES.sub("", token)
        assigned = _ASSIGNED.match(word) if setting else None
        if assigned:
            variables.append((assigned.group(1), assigned.group(2)))
        elif setting and word in _SETS_VARIABLES:
            continue
        else:
            setting = False
            words.append(word)
    if words and words[0] in {"setenv", "set-env"} and len(words) > 1:
        return [Command(number, ((words[1], " ".join(words[2:])),), ())]
    command = Command(number, tuple(variables), tuple(words))
    inner = _inner(words, tokens) if depth < 2 else ""
    return [command, *(_commands(number, inner, depth + 1) if inner else ())]


def _inner(words: list[str], tokens: list[str]) -> str:
    """What a shell in the command is given to run: of `srun bash -c 'python x.py'` the latter."""
    shell = next((i for i, w in enumerate(words) if w.rpartition("/")[2] in _SHELLS), None)
    if shell is None:
        return ""
    flag = next((i for i in range(shell + 1, len(words) - 1) if _RUN.fullmatch(words[i])), None)
    if flag is None:
        return ""
    quoted = tokens[len(tokens) - len(words) + flag + 1]
    return quoted[1:-1] if quoted[:1] in {'"', "'"} else quoted


def loaded_modules(command: Command) -> tuple[str, ...]:
    """The modules that a command loads, as written; those that it unloads are left out."""
    words = command.words
    for at, word in enumerate(words):
        rest = words[at + 1 :]
        if word == "module" and rest[:1] and rest[0] in {"load", "add", "swap", "switch"}:
            loaded = rest[1:]
            return loaded[-1:] if rest[0] in {"swap", "switch"} else _plain(loaded)
        if word == "ml" and not (rest[:1] and rest[0] in _ML_COMMANDS):
            return _plain(rest[1:] if rest[:1] == ("load",) else rest)
        if word == "spack" and rest[:1] == ("load",):
            return _plain(rest[1:])
    return ()


_ML_COMMANDS = frozenset(
    {"purge", "unload", "rm", "del", "list", "avail", "av", "spider", "use", "show", "keyword"}
)


def _plain(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith("-"))


def parse_hints(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read `key=value key=value` (or separated by `;`), and the items that are none.

    Blanks around `=` and after commas are as if they were not there.
    """
    hints: dict[str, str] = {}
    odd: list[str] = []
    close = re.sub(r"\s*=\s*", "=", re.sub(r"\s*([,|])\s*", r"\1", text))
    for item in filter(None, re.split(r"[\s;]+", close)):
        key, equals, value = item.partition("=")
        if equals and key and value:
            hints[key.lower()] = value.lower()
        else:
            odd.append(item)
    return hints, tuple(odd)


def parse_gib(text: str) -> int | None:
    """`24`, `24g`, `24GiB`, `24000m` as whole GiB (rounded up); None if it is no amount."""
    match = re.match(r"(\d{1,7})\s*(g|gb|gib|m|mb|mib)?\Z", text.lower())
    if not match:
        return None
    amount = int(match.group(1))
    return -(-amount // 1024) if (match.group(2) or "g").startswith("m") else amount
