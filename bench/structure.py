"""How the code is built: rooms, what imports what, cycles, long modules and functions.

The package's source is read, never imported: any Python 3.11 will do, without slurm-het's needs.

A room is a package directory (slurm_het.core is one, slurm_het.core.x within it another); the
modules directly in slurm_het/ are the room `slurm_het`. An import counts wherever it stands, within
functions too; those under `if TYPE_CHECKING` are apart. `from a import b` is an import of the
module a.b if there is one, else of a; that Python runs a package's __init__.py first does not
count. A function's lines go from its `def` to its last, docstring and inner functions included,
decorators not. Its parameters are those of its `def`, *args and **kwargs one each, without self or
cls. An empty __init__.py is no module.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Iterator, Sized
from dataclasses import asdict
from pathlib import Path

from bench.structure_source import (
    FUNCTION_LINES,
    MODULE_LINES,
    PACKAGE,
    PARAMETERS,
    Arrow,
    Function,
    Structure,
    read,
)

ROOT = Path(__file__).resolve().parent.parent

EXAMPLE = """examples:
  ./dev bench structure                       this checkout
  ./dev bench structure --root ../before      another one
  ./dev bench structure --json | jq '.functions | max_by(.lines)'
"""


def report(found: Structure) -> list[str]:
    """The lines to print."""
    parts = (_rooms(found), _imports(found), _cycles(found), _long(found), _sizes(found))
    return list(itertools.chain.from_iterable(parts))


def _rooms(found: Structure) -> Iterator[str]:
    rooms = found.rooms()
    yield f"{'room':40}{'modules':>10}{'lines':>10}"
    for room, modules in rooms.items():
        yield f"{room:40}{len(modules):>10}{sum(module.lines for module in modules):>10}"
    everything = list(itertools.chain.from_iterable(rooms.values()))
    total = sum(module.lines for module in everything)
    yield f"{f'total: {len(rooms)} rooms':40}{len(everything):>10}{total:>10}"


def _imports(found: Structure) -> Iterator[str]:
    for title, typing in (
        ("imports between rooms", False),
        ("imports for types alone (if TYPE_CHECKING)", True),
    ):
        arrows = found.arrows(typing=typing)
        yield ""
        yield f"{title:64}{'statements':>12}{'module pairs':>16}"
        yield from _table(arrows)
        statements = sum(arrow.statements for arrow in arrows)
        pairs = sum(arrow.pairs for arrow in arrows)
        total = f"total: {_count(arrows, 'arrow', 'between rooms')}"
        yield f"{total:64}{statements:>12}{pairs:>16}"


def _table(arrows: Iterable[Arrow], indent: str = "") -> Iterator[str]:
    for arrow in arrows:
        ends = f"{indent}{arrow.room} -> {arrow.imported}"
        yield f"{ends:64}{arrow.statements:>12}{arrow.pairs:>16}"


def _cycles(found: Structure) -> Iterator[str]:
    rooms, modules = found.room_cycles(), found.module_cycles()
    yield from ["", _count(rooms, "cycle", "between rooms")]
    for cycle in rooms:
        floors = found.arrows("floor")
        inside = [a for a in floors if a.room in cycle and a.imported in cycle]
        inside.sort(key=lambda arrow: arrow.statements)
        thinnest = found.places([inside[0].room], [inside[0].imported], "floor")
        yield from [*_names(cycle), "    arrows, the thinnest first:", *_table(inside, " " * 6)]
        yield from ["    the first arrow's imports:", *(f"      {place}" for place in thinnest)]
    yield from ["", _count(modules, "cycle", "between modules")]
    for cycle in modules:
        yield from _names(cycle)
        yield from (f"    {place}" for place in found.places(cycle, cycle, "name"))
    more = [*found.room_cycles(typing=True), *found.module_cycles(typing=True)]
    typed = [cycle for cycle in more if cycle not in rooms + modules]
    yield from ["", _count(typed, "further or wider cycle", "with the imports for types")]
    yield from itertools.chain.from_iterable(map(_names, typed))


def _names(cycle: Iterable[str]) -> list[str]:
    text = ", ".join(cycle)
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="    ")


def _long(found: Structure) -> Iterator[str]:
    modules = found.long_modules()
    yield from ["", _count(modules, "module", f"over {MODULE_LINES} lines")]
    yield from (f"{module.lines:>6}  {module.file}" for module in modules)
    functions = found.long_functions()
    yield from ["", _count(functions, "function", f"over {FUNCTION_LINES} lines")]
    yield from (f"{each.lines:>6}  {_place(each)}" for each in functions)
    many = found.many_parameters()
    yield from ["", _count(many, "function", f"with more than {PARAMETERS} parameters")]
    for each in many:
        yield f"{each.parameters:>6}  {_place(each)}{'  (click)' if each.click else ''}"


def _place(function: Function) -> str:
    name = function.name.removeprefix(f"{function.module}.")
    return f"{f'{function.file}:{function.line}':50} {name}"


def _count(those: Sized, noun: str, rest: str) -> str:
    return f"{len(those) or 'no'} {noun}{'' if len(those) == 1 else 's'} {rest}"


def _sizes(found: Structure) -> Iterator[str]:
    columns = ("number", "median", "p90", "max")
    yield from ["", " " * 40 + "".join(f"{column:>10}" for column in columns)]
    for name, size in found.sizes().items():
        yield f"{name:40}" + "".join(f"{size[column]:>10g}" for column in columns)


def as_json(found: Structure) -> str:
    """Everything that was read, and the report's figures."""
    summary = {
        "rooms": {room: [m.name for m in modules] for room, modules in found.rooms().items()},
        "arrows": [asdict(arrow) for arrow in found.arrows()],
        "typing_arrows": [asdict(arrow) for arrow in found.arrows(typing=True)],
        "room_cycles": found.room_cycles(),
        "module_cycles": found.module_cycles(),
        "typing_room_cycles": found.room_cycles(typing=True),
        "typing_module_cycles": found.module_cycles(typing=True),
        "sizes": found.sizes(),
    }
    read = {
        "modules": [asdict(module) for module in found.modules.values() if module.lines],
        "functions": [asdict(function) for function in found.functions],
        "imports": [asdict(each) for each in found.imports],
    }
    return json.dumps(summary | read, indent=1)


def commit_of(root: Path) -> str:
    """What git says is checked out, `+` for changes since; without git, nothing."""
    if shutil.which("git") is None:
        return ""
    git = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="./dev bench structure",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="another checkout")
    parser.add_argument("--json", action="store_true", help="for scripts: all that was read")
    options = parser.parse_args()
    if not (options.root / PACKAGE).is_dir():
        parser.error(f"there is no {PACKAGE}/ in {options.root}")
    try:
        found = read(options.root)
    except SyntaxError as error:
        parser.error(f"{error.filename}:{error.lineno}: {error.msg}")
    if options.json:
        print(as_json(found))
        return
    print(f"# The structure of {PACKAGE}, commit {commit_of(options.root) or 'unknown'}\n")
    print("\n".join(report(found)))


if __name__ == "__main__":
    main()
