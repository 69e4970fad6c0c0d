"""What a user asks sbatch for: its options, in #SBATCH lines, the environment and the arguments.

The rules are sbatch's (its manual, and seen on 22.05 and 24.11): an argument goes before the
environment, and that before the script; of an option that is given twice the last counts; long
options may be shortened; the first word that is no option is the script; #SBATCH lines end with the
first line that is neither blank nor a comment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import NamedTuple

from slurm_het.core.syntax.script import MAX_SCRIPT
from slurm_het.errors import HetError

MAX_WORDS = 1000
HET_JOB = "hetjob"
"""Stands among the options of a heterogeneous job; the others are those of all its components."""
_MAGIC = "#SBATCH"

_SHORT = {
    "A": "account", "a": "array", "b": "begin", "B": "extra-node-info", "c": "cpus-per-task",
    "C": "constraint", "d": "dependency", "D": "chdir", "e": "error", "F": "nodefile",
    "G": "gpus", "h": "help", "H": "hold", "i": "input", "J": "job-name", "k": "no-kill",
    "L": "licenses", "m": "distribution", "M": "clusters", "N": "nodes", "n": "ntasks",
    "O": "overcommit", "o": "output", "p": "partition", "Q": "quiet", "q": "qos",
    "s": "oversubscribe", "S": "core-spec", "t": "time", "v": "verbose", "V": "version",
    "W": "wait", "w": "nodelist", "x": "exclude",
}  # fmt: skip
_FLAGS = frozenset({
    "consolidate-segments", "contiguous", "help", "hold", "ignore-pbs", "no-requeue", "overcommit",
    "oversubscribe", "parsable", "quiet", "reboot", "requeue", "share", "spread-job",
    "spread-segments", "test-only", "usage", "use-min-nodes", "verbose", "version", "wait",
})  # fmt: skip
_MAY_HAVE_VALUES = frozenset({
    "exclusive", "get-user-env", "nice", "no-kill", "oom-kill-step", "propagate", "resv-ports",
})  # fmt: skip
_HAVE_VALUES = frozenset({
    "acctg-freq", "batch", "bb", "bbf", "cluster-constraint", "comment", "container",
    "container-id", "container-type", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "deadline",
    "delay-boot", "export", "export-file", "extra", "gid", "gpu-bind", "gpu-freq", "gpus-per-node",
    "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint", "kill-on-invalid-dep",
    "mail-type", "mail-user", "mcs-label", "mem", "mem-bind", "mem-per-cpu", "mem-per-gpu",
    "mincpus", "network", "ntasks-per-core", "ntasks-per-gpu", "ntasks-per-node",
    "ntasks-per-socket", "open-mode", "power", "prefer", "priority", "profile", "reservation",
    "segment", "signal", "sockets-per-node", "stepmgr", "switches", "thread-spec",
    "threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid",
    "wait-all-nodes", "wckey", "wrap",
}).union(_SHORT.values()) - _FLAGS - _MAY_HAVE_VALUES  # fmt: skip
_KNOWN = _FLAGS | _MAY_HAVE_VALUES | _HAVE_VALUES

_ENVIRONMENT = {
    "SBATCH_ACCOUNT": "account", "SBATCH_ARRAY_INX": "array", "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu", "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GPUS": "gpus", "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task", "SBATCH_GRES": "gres",
    "SBATCH_JOB_NAME": "job-name", "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu", "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_PARTITION": "partition", "SBATCH_QOS": "qos", "SBATCH_RESERVATION": "reservation",
    "SBATCH_THREADS_PER_CORE": "threads-per-core", "SBATCH_TIMELIMIT": "time",
}  # fmt: skip


class Arguments(NamedTuple):
    """The options by their long names ('' for a flag), and what follows them: the script."""

    options: dict[str, str]
    rest: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> Arguments:
    """Read sbatch's arguments. Raises HetError for an option that it does not have."""
    return _read(words, in_script=False)


def of_plugins(options: Iterable[str]) -> list[str]:
    """Those that are not sbatch's own."""
    return sorted(set(options) - _KNOWN - {HET_JOB})


def _read(words: Sequence[str], *, in_script: bool) -> Arguments:
    options: dict[str, str] = {}
    left = list(words[:MAX_WORDS])
    while left and (left[0] == ":" or (left[0].startswith("-") and left[0] != "-")):
        word = left.pop(0)
        if word == "--":
            break
        if word == ":":
            options[HET_JOB] = ""
            continue
        read = _long(word, left, in_script) if word.startswith("--") else _short(word, left)
        name, value = read
        options[name] = value
    return Arguments(options, tuple(left))


def read_script_options(text: str) -> dict[str, str]:
    """The options in a script's #SBATCH lines. Raises HetError, which names the line."""
    options: dict[str, str] = {}
    for number, line in enumerate(text[:MAX_SCRIPT].splitlines(), 1):
        if line.startswith(_MAGIC):
            try:
                words = shlex.split(line[len(_MAGIC) :], comments=True)
                read = _read(words, in_script=True)
            except ValueError as error:
                raise HetError(f"line {number}: {error}", "see sbatch's manual") from error
            except HetError as error:
                raise HetError(f"line {number}: {error.message}", error.hint) from error
            options |= read.options
            if read.rest[:1] in {(HET_JOB,), ("packjob",)}:
                options[HET_JOB] = ""
        elif line.strip() and not line.startswith("#"):
            break
    return options


def read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The options that sbatch takes from the environment, as far as they bear on a start."""
    return {name: environment[key] for key, name in _ENVIRONMENT.items() if key in environment}


def _long(word: str, left: list[str], in_script: bool) -> tuple[str, str]:
    written, equals, value = word[2:].partition("=")
    name = _named(written)
    if name in _FLAGS:
        return name, ""
    if equals or name in _MAY_HAVE_VALUES:
        return name, value
    return name, _next(word, left) if name in _KNOWN else _of_plugin(name, left, in_script)


def _named(written: str) -> str:
    """The option that is meant: by its name, or by what only it begins with; or a plugin's."""
    if written in _KNOWN:
        return written
    begun = sorted(name for name in _KNOWN if written and name.startswith(written))
    if len(begun) == 1:
        return begun[0]
    near = begun[:3] or [name for name in sorted(_KNOWN) if _one_slip(written, name)]
    if written and not near:
        return written
    hint = f"did you mean --{' or --'.join(near)}?" if near else "see sbatch --help"
    raise HetError(f"sbatch has no option --{written[:40]}", hint)


def _of_plugin(name: str, left: list[str], in_script: bool) -> str:
    """The value of an option that is not sbatch's own, and has no `=`: does it take one?"""
    if not left or left[0].startswith("-"):
        return ""
    if in_script:  # there is no other word that it could be
        return left.pop(0)
    near = get_close_matches(name[:40], sorted(_KNOWN), n=1)
    raise HetError(
        f"sbatch has no option --{name[:40]} of its own",
        (f"did you mean --{near[0]}? " if near else "")
        + f"If it is a plugin's, write --{name[:40]}=VALUE, or put it ahead of another option",
    )


def _one_slip(written: str, name: str) -> bool:
    """Whether one letter is wrong, too many or missing, or two that stand together are swapped."""
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(written, name, strict=False))
    )
    mine, right = written[same:], name[same:]
    swapped = mine[1::-1] + mine[2:]
    return right in {mine[1:], swapped} or right[1:] in {mine, mine[1:]}


def _short(word: str, left: list[str]) -> tuple[str, str]:
    """The first of a cluster of flags, the others put back; `-N2`, `-N 2`."""
    name = _SHORT.get(word[1])
    if name is None:
        raise HetError(f"sbatch has no option -{word[1]}", "see sbatch --help")
    attached = word[2:]
    if name in _FLAGS:
        left[:0] = [f"-{attached}"] if attached else []
        return name, ""
    if name in _MAY_HAVE_VALUES or attached:
        return name, attached.removeprefix("=")
    return name, _next(word, left)


def _next(word: str, left: list[str]) -> str:
    if not left:
        raise HetError(f"{word[:40]} needs a value", "see sbatch --help")
    return left.pop(0)
