"""A job script, read as far as it says what it runs: its commands, directives and words.

This is no shell. It takes apart what people write into job scripts, one line after the other, in
time that is linear in the text, and nothing that stands there can make it fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any

from slurm_het.core.syntax.script_lines import OwnLine, own_lines

MAX_SCRIPT = 65536
"""The characters of a script that are read."""
HEAD, BETWEEN, TAIL = 100, 20, 40
"""The different lines that are read, if a script has more: at its beginning and its end, and those
between them that load or launch something."""
MAX_COMMANDS = 200
MAX_DIRECTIVES = 16
MAX_WORD = 64
_WORD = re.compile(r"[a-z0-9_][a-z0-9_.+-]*")
# `#HET vendors=amd`, and as people also write it: #het, # HET, #HET: vendors = amd
_DIRECTIVE = re.compile(r"#\s{0,8}HET\b", re.IGNORECASE)
# Options of Slurm's plugins for containers, which say what each step runs in.
_CONTAINER = re.compile(r"#SBATCH\s+--(?:container-image|image|environment|uenv|module)[= ]\S")
_TELLS = re.compile(
    r"(?:module|ml|spack|source|srun|mpirun|mpiexec|singularity|apptainer|docker|podman|enroot"
    r"|torchrun|accelerate|deepspeed|python3?|conda|mamba)\s"
)
_COMMENT = re.compile(r"\s#.*")
# A word of the shell with the quoted parts in it, or what stands between commands.
_TOKEN = re.compile(
    r"""(?:>&|&>|[^\s"'`;&|()\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+|&&|\|\||[;&|()`]""", re.DOTALL
)
_BETWEEN = frozenset({"&&", "||", ";", "&", "|", "(", ")", "`"})
_QUOTES = re.compile(r"""["'\\]""")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_RUN = re.compile(r"-\w{0,8}c")
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh"})
_SETS_VARIABLES = frozenset({"export", "declare", "typeset", "local", "readonly", "env"})
_ASKS = frozenset(
    {"[", "[[", "test", "command", "which", "type", "hash", "grep", "ls", "stat", "!"}
)
"""Commands that ask whether something is so: what comes after `&&` is done only then."""
_GIVES_UP = frozenset({"exit", "return", "die", "fail", "kill", "scancel", "{", "("})
"""What after `||` means that the command before it is needed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the line that it begins on, the variables that it sets, and its words.

    Quotes are taken off the words. `export A=1` is a command that sets A and has no words.
    `tried`: it is run under a condition, or what it does may fail.
    """

    line: int
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    tried: bool = False


@dataclass(frozen=True)
class Script:
    """The lines of a script that are read, its commands, and its directives as written."""

    commands: tuple[Command, ...] = ()
    directives: tuple[tuple[int, str], ...] = ()
    lines: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What others have worked out of it, to be used again."""

    def first_lines(self, words: Iterable[str]) -> list[tuple[int, str]]:
        """Of these words those that are in the script, each with the first line it stands on.

        Comments do not count. `rocm/6.0` has the words rocm and 6.0; `vllm.entrypoints` has also
        vllm; `train.py` has also train; `module load rocm/6.0` has also `module:rocm`.
        """
        found = []
        for word in words:
            if word.startswith("module:"):
                lines: Iterable[int] = (n for n, module in self._modules if module == word[7:])
            else:
                lines = (n for n, line in self._lowered if word in line and word in _words(line))
            if line := next(iter(lines), 0):
                found.append((line, word))
        return found

    @cached_property
    def _lowered(self) -> list[tuple[int, str]]:
        return [(number, line.lower()) for number, line in self.lines]

    @cached_property
    def _modules(self) -> list[tuple[int, str]]:
        return [
            (command.line, module.split("/")[0].lower())
            for command in self.commands
            for module in loaded_modules(command)
        ]


def _words(line: str) -> set[str]:
    """The words of a line in lower case."""
    written = {word.rstrip(".+-")[:MAX_WORD] for word in _WORD.findall(_COMMENT.sub("", line))}
    return written | {word.split(".", 1)[0] for word in written}


def read_script(text: str) -> Script:
    """The commands and the `#HET key=value` directives of a script. Linear in the text."""
    all_lines = own_lines(text[:MAX_SCRIPT])
    comments = [line for line in all_lines if line.text.startswith("#")]
    lines = _telling([line for line in all_lines if not line.text.startswith("#")])
    directives: list[tuple[int, str]] = []
    commands: list[Command] = []
    for number, line, _ in comments:
        match = _DIRECTIVE.match(line)
        if match and "=" in line and len(directives) < MAX_DIRECTIVES:
            directives.append((number, line[match.end() :].lstrip(" \t:").strip()[:256]))
        elif len(commands) < MAX_DIRECTIVES and _CONTAINER.match(line):
            commands += _commands(number, f"srun {line[7:]}")
    for number, line, tried in lines:
        if len(commands) >= MAX_COMMANDS:
            break
        commands += _commands(number, line, tried=tried)
    numbered = tuple((number, line) for number, line, _ in lines)
    return Script(tuple(commands[:MAX_COMMANDS]), tuple(directives), numbered)


def _telling(lines: list[OwnLine]) -> list[OwnLine]:
    """Of many lines those that say what a script runs: it loads modules at its beginning, launches
    something at its end; between them those that do either."""
    if len(lines) <= HEAD + TAIL:
        return lines
    between = [line for line in lines[HEAD:-TAIL] if _TELLS.match(line.text)]
    return lines[:HEAD] + between[:BETWEEN] + lines[-TAIL:]


def _commands(number: int, line: str, *, tried: bool = False, depth: int = 0) -> list[Command]:
    found: list[Command] = []
    words: list[str] = []
    under = False  # a condition, which the command before is
    tokens = _TOKEN.findall(line)
    for written, after in zip_longest([*tokens, ";"], tokens[1:], fillvalue=""):
        comment = written.startswith("#")
        if not comment and written not in _BETWEEN:
            words.append(written)
            continue
        fails = written == "||" and after not in _GIVES_UP
        if words:
            found += _command(number, words, depth, tried=tried or under or fails)
        if words or written not in "()`":
            under = written == "||" or (written == "&&" and (under or _asks(words)))
        words = []
        if comment or len(found) >= MAX_COMMANDS:
            break
    return found


def _asks(words: list[str]) -> bool:
    """Whether a command only looks if something is there."""
    if words[:1] == ["module"]:
        return any(word.startswith(("is-", "avail", "spider", "list")) for word in words[1:3])
    return bool(words) and (words[0] in _ASKS or words[0].endswith("-smi"))


def _command(number: int, tokens: list[str], depth: int, *, tried: bool) -> list[Command]:
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
        return [Command(number, ((words[1], " ".join(words[2:])),), (), tried)]
    tried = tried or (words[:1] in (["module"], ["ml"]) and not _TRIES.isdisjoint(words[1:4]))
    command = Command(number, tuple(variables), tuple(words), tried)
    inner = _inner(words, tokens) if depth < 2 else ""
    return [command, *(_commands(number, inner, tried=tried, depth=depth + 1) if inner else ())]


def _inner(words: list[str], tokens: list[str]) -> str:
    """What a shell in the command is given to run: of `srun bash -c 'python x.py'` the latter."""
    shells = [i for i, w in enumerate(words) if w.endswith("sh") and w.split("/")[-1] in _SHELLS]
    if not shells:
        return ""
    shell = shells[0]
    flag = next((i for i in range(shell + 1, len(words) - 1) if _RUN.fullmatch(words[i])), None)
    if flag is None:
        return ""
    quoted = tokens[len(tokens) - len(words) + flag + 1]
    return quoted[1:-1] if quoted[:1] in {'"', "'"} else quoted


def loaded_modules(command: Command) -> tuple[str, ...]:
    """The modules that a command loads, as written; those that it unloads are left out."""
    words = command.words
    for at in [at for at, word in enumerate(words) if word in _LOADS]:
        program, rest = words[at], _plain(words[at + 1 :])
        told = rest[0] if rest else ""
        if told == "load" or (told in _LOADING and program != "spack"):
            return rest[1:]
        if told in _SWAPS and program != "spack":
            return rest[1:][-1:]
        if program == "ml" and told not in _ML_COMMANDS:
            return rest
    return ()


_LOADS = frozenset({"module", "ml", "spack"})
_SWAPS = frozenset({"swap", "sw", "switch"})
_TRIES = frozenset({"try-load", "try-add"})
_LOADING = _TRIES | {"add", "load-any"}
_ML_COMMANDS = frozenset(
    {"purge", "unload", "rm", "del", "list", "avail", "av", "spider", "use", "show", "keyword"}
)


def _plain(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith("-"))


def directives_of(script: Script, comment: str) -> list[tuple[str, str]]:
    """Where each directive stands, and its text; a comment that is one comes first."""
    sources = [(f"#HET on line {n}", text) for n, text in script.directives]
    return [("--comment", comment[4:]), *sources] if comment.startswith("het:") else sources


def parse_hints(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read `key=value key=value` (or separated by `;`), and the items that are none.

    Blanks around `=` and after commas are as if they were not there, and so is a comment behind it.
    """
    hints: dict[str, str] = {}
    odd: list[str] = []
    close = re.sub(r"\s*=\s*", "=", re.sub(r"\s*([,|])\s*", r"\1", _COMMENT.sub("", text)))
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
