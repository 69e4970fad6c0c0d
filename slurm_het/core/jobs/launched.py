"""What a job script shows of the software that it uses, place by place.

`torchrun train.py` launches train.py, and passes torchrun on the way; `cp train.py old/` launches
nothing. What is echoed, installed, unset or only looked at is not shown at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from slurm_het.core.sign import Place
from slurm_het.core.syntax.script import Command, Script, loaded_modules


class Shown(NamedTuple):
    """One thing that a script shows: where, its text in lower case, and the line.

    `unsure`: it is tried, so that the script may do without it. `beside`: the search path that it
    stands in, perhaps with others' ones.
    """

    place: Place
    text: str
    line: int
    unsure: bool = False
    beside: str = ""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSED_OVER = _names("""
    srun mpirun mpiexec mpiexec.hydra orterun prun prrte ibrun jsrun aprun time nohup exec
    env sudo timeout nice stdbuf numactl taskset xvfb-run if then else elif do while until !
    { eval command catchsegv dplace unbuffer script singularity apptainer docker podman
    podman-hpc shifter enroot sarus charliecloud ch-run conda mamba micromamba poetry uv
    pipenv pixi hatch parallel xargs set_affinity nsys ncu omnitrace rocprof rocprofv2 vtune
    wandb mlflow ray sh bash zsh dash start run exec launch shell profile instance create
    trtllm-llmapi-launch
""")
"""What runs another program, which comes later in the same command."""
_LAUNCHERS = _names("""
    torchrun accelerate deepspeed horovodrun msrun torch.distributed.run torchrun_main
    torch.distributed.launch torch_xla.distributed.xla_multiprocessing gaudi_spawn.py
    intel_extension_for_pytorch.cpu.launch habana_run colossalai composer
""")
"""Launchers of distributed programs: what they launch comes after them."""
_INTERPRETER = re.compile(r"(?:python|pypy|ipython|conda-python|julia|Rscript)[\w.-]*")
_SCRIPTS = (".py", ".sh", ".bash", ".lua", ".jl", ".r", ".pl", ".ipynb")
_PARTS = re.compile(r"[^a-z0-9.]+")
_NAME_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+[a-z]+")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?\Z")
_IMAGES = (".sif", ".simg", ".img", ".sqsh", ".sqfs", ".squashfs")
_INLINE = frozenset({"-c", "-e", "-E"})
_ASSIGNED = re.compile(r"(\w+)=(.*)")
_IMPORTED = re.compile(r"\b(?:import|from|using)\s+([\w.]+(?:\s*,\s*[\w.]+)*)")
_OWN = re.compile(r"(?:/home/|/users/|/u/|~|\$\{?HOME\b)[^/]*", re.IGNORECASE)
_BY_NAME = frozenset({"docker", "podman", "podman-hpc", "shifter"})
_CONTAINERS = _BY_NAME | {"singularity", "apptainer"}
_REGISTRIES = ("docker://", "oras://", "library://", "instance://", "nvcr.io")
_IMAGE_OPTIONS = ("--container-image", "--image", "--environment", "--uenv")
_SUFFIX = re.compile(r"\.(?:sif|simg|img|sqsh|sqfs|squashfs|toml)\Z")
_SETS = frozenset({"-e", "--env", "-x", "--export"})
"""Options of containers and launchers that set a variable."""
_WRAPS = re.compile(r"wrap|bind|affinity|select_gpu|launcher")
_INSTALLS = frozenset({"pip", "pip3", "conda", "mamba", "micromamba", "uv", "pixi"})
_INSTALLING = frozenset({"install", "sync", "add"})
_ACTIVATES = re.compile(r"(?:env )?activate\b")
_EXTRA = re.compile(r"\w[\w.-]{0,64}\[|\.\[")
_KEEPS_ENVIRONMENTS = frozenset({"conda", "mamba", "micromamba", "pixi", "hatch"})
_ENVIRONMENT = frozenset({"-n", "--name", "-p", "--prefix", "-e", "--environment"})
"""Their options that name an environment to run in."""
_SAYS_NOTHING = _names("""
    echo printf unset cat which type ls rm mkdir git wget curl make cd pushd cp mv ln tar rsync scp
    chmod touch find grep sed awk head tail tee test [ [[ for case set read return exit sleep wait
    trap date hostname sbatch scancel squeue sinfo ssh function
""")
_TOLD = re.compile(r"[a-z]{2,24}")
MAX_VALUE = 96
"""The characters of a variable's value that are looked at."""
_HIDES = frozenset({"", "-1"})
"""Values by which a variable is taken back, or devices are hidden."""
_NAMES_MODULE = frozenset({"-m", "--module"})


def shown_by(script: Script) -> tuple[Shown, ...]:
    """All that a script shows, in the order of its lines. It is worked out once."""
    if "shown" not in script.memo:
        script.memo["shown"] = tuple(_shown(script))
    shown: tuple[Shown, ...] = script.memo["shown"]
    return shown


def _shown(script: Script) -> Iterator[Shown]:
    variables: dict[str, str] = {}
    for command in script.commands:
        variables.update(command.variables)
        for shown in _by_command(command, variables):
            yield shown._replace(unsure=True) if command.tried else shown


def _by_command(command: Command, variables: dict[str, str]) -> Iterator[Shown]:
    for name, value in command.variables:
        yield from _variable(name, value, command.line)
    code = command.words[1:2] == ("=",)  # of Python or Julia
    if command.words and command.words[0] not in _SAYS_NOTHING and not code:
        yield from _of_command(command, variables)


def _of_command(command: Command, variables: dict[str, str]) -> Iterator[Shown]:
    words, line = command.words, command.line
    for module in loaded_modules(command):
        yield from _parts("modules", re.split(r"~\w+", module)[0], line)
    if words[0] in {"import", "from"} and len(words) > 1:
        yield from _imports(words, line)
        return
    first = _base(words[0])
    if first in {"source", "."} or _ACTIVATES.match(" ".join(words[1:3])):
        yield from _environment(words[1:], line)
        return
    if first in _INSTALLS and not _INSTALLING.isdisjoint(words[1:3]):
        for word in words:
            if "://" in word or _EXTRA.match(word):
                yield Shown("urls", word.lower(), line)
        return
    yield from _launch(_expanded(words, variables), line)


def _expanded(words: tuple[str, ...], variables: dict[str, str]) -> tuple[str, ...]:
    """The words with a variable that is the program replaced by what the script puts into it."""
    match = _VARIABLE.match(words[0])
    value = variables.get(match.group(1), "") if match else ""
    return (*value.split()[:32], *words[1:]) if value else words


def _launch(words: tuple[str, ...], line: int) -> Iterator[Shown]:
    """The programs of one command: those passed on the way, and the one that is launched."""
    container = before = interpreter = keeper = ""
    for at, word in enumerate(words):
        base = _base(word)
        if word.startswith("-"):
            yield from _option(words, at, container, line)
            yield from _image_option(words, at, line, _ENVIRONMENT if keeper else frozenset())
            if interpreter and word in _INLINE:
                yield from _inline(" ".join(words[at + 1 : at + 2]), line)
        elif _is_image(word, container) or _is_bare_image(words, at, container):
            yield from _parts("images", word, line)
        else:
            yield from _paths(word, line)
            yield from _program(word, line)
            container = base if base in _CONTAINERS else container
            keeper = base if base in _KEEPS_ENVIRONMENTS else keeper
            interpreter = base if _INTERPRETER.fullmatch(base) else interpreter
            named = before in _NAMES_MODULE or base.lower().endswith(_SCRIPTS)
            if not passes_on(word) and (named or not before.startswith("-") or "=" in before):
                yield from _arguments(words[at + 1 :], line)
                return
        before = word


def passes_on(word: str) -> bool:
    """Whether a program runs others, or what it is given, and says nothing by itself."""
    base = _base(word)
    return (
        base in _PASSED_OVER
        or base in _LAUNCHERS
        or bool(_INTERPRETER.fullmatch(base) or _WRAPS.search(base) or _VARIABLE.match(word))
    )


def _is_image(word: str, container: str) -> bool:
    by_name = container in _BY_NAME and ("/" in word or ":" in word)
    return by_name or word.lower().endswith(_IMAGES) or word.startswith(_REGISTRIES)


def _option(words: tuple[str, ...], at: int, container: str, line: int) -> Iterator[Shown]:
    """An option on the way to the program: of a container, or one that sets variables."""
    name, equals, value = words[at].partition("=")
    value = value if equals else "".join(words[at + 1 : at + 2])
    if container:
        yield Shown("options", f"{container} {name.lower()}", line)
        given = f"{name.lstrip('-')} {value[:MAX_VALUE]}".lower()
        yield Shown("arguments", given.replace("-", "_"), line)
    if "index" in name and "://" in value:
        yield Shown("urls", value.lower(), line)
    if name in _SETS:
        for item in value.split(",")[:16]:
            if assigned := _ASSIGNED.match(item):
                yield from _variable(assigned[1], assigned[2], line)


def _variable(name: str, value: str, line: int) -> Iterator[Shown]:
    if value in _HIDES:
        return
    yield Shown("variables", name.lower(), line)
    yield Shown("variables", f"{name} {value[:MAX_VALUE]}".lower(), line)
    if "://" in value and "index" in name.lower():
        yield Shown("urls", value.lower(), line)
    searched = f"{name} on line {line}" if ":" in value else ""
    yield from (path._replace(beside=searched) for path in _paths(value, line))
    yield from _image(value, line)


def _is_bare_image(words: tuple[str, ...], at: int, container: str) -> bool:
    """`docker run mine python a.py`: what stands before the interpreter is an image."""
    follows = words[at + 1] if at + 1 < len(words) else ""
    return (
        container in _BY_NAME
        and not passes_on(words[at])
        and bool(_INTERPRETER.fullmatch(_base(follows)))
        and not words[at - 1].startswith("-")
    )


def _program(word: str, line: int) -> Iterator[Shown]:
    base = stem = _base(word)
    low = base.lower()
    yield Shown("programs", low, line)
    if low.endswith(_SCRIPTS):
        stem = base.rpartition(".")[0]
        yield Shown("programs", stem.lower(), line)
    elif "." in base:
        yield Shown("programs", low.split(".", 1)[0], line)
        stem = base.rpartition(".")[2]
    if "." in base or "_" in base or "-" in base:
        for part in _NAME_WORDS.findall(stem):
            yield Shown("words", part.lower(), line)


def _arguments(words: tuple[str, ...], line: int) -> Iterator[Shown]:
    """What a program is told to do, by its first argument (`yolo predict`), and its options."""
    if words and _TOLD.fullmatch(words[0]):
        yield Shown("words", words[0], line)
    for at, word in enumerate(words[:64]):
        if word.startswith("-"):
            name, equals, value = word.lower().partition("=")
            given = value if equals else (words[at + 1].lower() if at + 1 < len(words) else "")
            yield Shown("arguments", name.lstrip("-").replace("-", "_"), line)
            yield Shown("arguments", f"{name.lstrip('-').replace('-', '_')} {given}", line)


def _imports(words: tuple[str, ...], line: int) -> Iterator[Shown]:
    for name in (words[1], *(words[1] + "." + w for w in words[3:4] if words[0] == "from")):
        yield Shown("imports", name.rstrip(",").lower(), line)


def _inline(program: str, line: int) -> Iterator[Shown]:
    """The imports of `python -c PROGRAM` and `julia -e PROGRAM`."""
    for names in _IMPORTED.findall(program[:1024]):
        for name in names.split(","):
            yield Shown("imports", name.strip().lower(), line)


def _environment(words: tuple[str, ...], line: int) -> Iterator[Shown]:
    for word in words:
        yield from _paths(word, line)
        parts = [p for p in word.split("/") if p not in {"bin", "activate", ""}]
        if parts and not parts[-1].endswith(".sh"):
            yield from _parts("images", parts[-1], line)


def _image_option(
    words: tuple[str, ...], at: int, line: int, others: Collection[str]
) -> Iterator[Shown]:
    name, equals, value = words[at].partition("=")
    if name in _IMAGE_OPTIONS or name in others:
        yield from _parts("images", value if equals else "".join(words[at + 1 : at + 2]), line)


def _image(value: str, line: int) -> Iterator[Shown]:
    if _is_image(value, ""):
        yield from _parts("images", value, line)


def _parts(place: Place, name: str, line: int) -> Iterator[Shown]:
    """The parts of the name of software: pytorch, 2.7.0, rocm, 6.2.4; of an image without path."""
    text = _SUFFIX.sub("", name.lower())
    if place == "images" and text.startswith(("/", "~", "$", ".")):
        text = text.rpartition("/")[2]
    for part in _PARTS.split(text)[:32]:
        if part:
            yield Shown(place, part, line)


def _paths(text: str, line: int) -> Iterator[Shown]:
    if "/" in text:
        for path in re.split(r"[:=]", text)[:16]:
            if "/" in path and not _OWN.match(path):
                yield Shown("paths", path.lower()[:256] + "/", line)


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]
