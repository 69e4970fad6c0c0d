"""What a package's source says of its structure: modules, functions, imports, cycles.

What counts is told in bench/structure.py, which prints it.
"""

from __future__ import annotations

import ast
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "slurm_het"
MODULE_LINES = 400
FUNCTION_LINES = 45
PARAMETERS = 5

Graph = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Module:
    """A source file; `file` is relative to the checkout.

    `floor` is its room; beside rooms of its package it is the module itself: each of those may
    stand above some of the rooms and below others, as the import contracts have them.
    """

    name: str
    room: str
    file: str
    lines: int
    floor: str


@dataclass(frozen=True)
class Function:
    """A function or method; `name` starts with its module's."""

    name: str
    module: str
    file: str
    line: int
    lines: int
    parameters: int
    click: bool
    """Whether click calls it, with a parameter for each option."""


@dataclass(frozen=True)
class Import:
    """An import statement and one of the modules that it names."""

    importer: str
    imported: str
    line: int
    typing: bool
    """Whether it is under `if TYPE_CHECKING`."""


@dataclass(frozen=True)
class Arrow:
    """One room's imports from another: statements, and different pairs of modules."""

    room: str
    imported: str
    statements: int
    pairs: int


@dataclass
class Structure:
    """All that was read of a package."""

    modules: dict[str, Module] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)

    def rooms(self) -> dict[str, list[Module]]:
        """The modules of each room."""
        found = defaultdict(list)
        for module in self.modules.values():
            if module.lines:
                found[module.room].append(module)
        return dict(sorted(found.items()))

    def arrows(self, kind: str = "room", *, typing: bool = False) -> list[Arrow]:
        """What rooms import from other rooms; or floors from other floors, by `kind`."""
        found = defaultdict(list)
        for each in self.imports:
            importer, imported = self.modules[each.importer], self.modules[each.imported]
            ends = getattr(importer, kind), getattr(imported, kind)
            if each.typing == typing and ends[0] != ends[1]:
                found[ends].append(each)
        return [
            Arrow(
                *ends,
                statements=len({(each.importer, each.line) for each in those}),
                pairs=len({(each.importer, each.imported) for each in those}),
            )
            for ends, those in sorted(found.items())
        ]

    def room_cycles(self, *, typing: bool = False) -> list[list[str]]:
        """Floors that import each other; with `typing`, also by imports for types alone."""
        arrows = self.arrows("floor") + (self.arrows("floor", typing=True) if typing else [])
        return cycles(graph((arrow.room, arrow.imported) for arrow in arrows))

    def module_cycles(self, *, typing: bool = False) -> list[list[str]]:
        """Modules that import each other; with `typing`, also by imports for types alone."""
        those = (each for each in self.imports if typing or not each.typing)
        return cycles(graph((each.importer, each.imported) for each in those))

    def places(self, importers: list[str], imported: list[str], kind: str) -> list[str]:
        """The imports between these (by `kind`: "floor" or "name"), with their places."""
        return [
            f"{importer.file}:{each.line} imports {target.name}"
            for each in self.imports
            for importer, target in [(self.modules[each.importer], self.modules[each.imported])]
            if not each.typing
            and getattr(importer, kind) in importers
            and getattr(target, kind) in imported
        ]

    def long_modules(self, limit: int = MODULE_LINES) -> list[Module]:
        """Modules of more lines, the longest first."""
        found = (module for module in self.modules.values() if module.lines > limit)
        return sorted(found, key=lambda module: -module.lines)

    def long_functions(self, limit: int = FUNCTION_LINES) -> list[Function]:
        """Functions of more lines, the longest first."""
        found = (function for function in self.functions if function.lines > limit)
        return sorted(found, key=lambda function: -function.lines)

    def many_parameters(self, limit: int = PARAMETERS) -> list[Function]:
        """Functions of more parameters, the most first."""
        found = (function for function in self.functions if function.parameters > limit)
        return sorted(found, key=lambda function: (function.click, -function.parameters))

    def sizes(self) -> dict[str, dict[str, float]]:
        """Number, median, 90th percentile and maximum of lines."""
        return {
            "lines per module": spread(m.lines for m in self.modules.values() if m.lines),
            "lines per function": spread(function.lines for function in self.functions),
        }


def graph(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """What each node points to."""
    found: dict[str, set[str]] = defaultdict(set)
    for start, end in pairs:
        found[start].add(end)
    return dict(found)


def cycles(edges: Graph) -> list[list[str]]:
    """Strongly connected components of more than one node."""
    reached = {node: _reached(edges, node) for node in edges}
    found = {
        frozenset(other for other in there if node in reached.get(other, ()))
        for node, there in reached.items()
    }
    return sorted(sorted(component) for component in found if len(component) > 1)


def _reached(edges: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = set(edges.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found


def spread(sizes: Iterable[int]) -> dict[str, float]:
    """Number, median, 90th percentile (nearest rank) and maximum."""
    ranked = sorted(sizes)
    if not ranked:
        return {"number": 0, "median": 0, "p90": 0, "max": 0}
    p90 = ranked[math.ceil(0.9 * len(ranked)) - 1]
    median = statistics.median(ranked)
    return {"number": len(ranked), "median": median, "p90": p90, "max": ranked[-1]}


def read(root: Path, package: str = PACKAGE) -> Structure:
    """Measure the package in directory `root`. Raises SyntaxError for a file not in Python."""
    found = Structure()
    texts = {}
    for file in sorted((root / package).rglob("*.py")):
        path = file.relative_to(root)
        parts = path.with_suffix("").parts
        room = ".".join(parts[:-1])
        name = room if parts[-1] == "__init__" else ".".join(parts)
        texts[name] = file.read_bytes()
        lines = len(texts[name].splitlines())
        subfolders = any(file.parent.glob("*/__init__.py"))
        found.modules[name] = Module(name, room, str(path), lines, name if subfolders else room)
    for name, text in texts.items():
        tree = ast.parse(text, found.modules[name].file)
        _Reader(found, found.modules[name]).visit(tree)
    return found


class _Reader(ast.NodeVisitor):
    """Adds what one module defines and imports."""

    def __init__(self, found: Structure, module: Module) -> None:
        self.found = found
        self.module = module
        self.scopes: list[ast.AST] = []
        self.names = [module.name]
        self.typing = False

    def visit_If(self, node: ast.If) -> None:
        if _last_name(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)
            return
        outside, self.typing = self.typing, True
        for inner in node.body:
            self.visit(inner)
        self.typing = outside
        for inner in node.orelse:
            self.visit(inner)

    def visit_Import(self, node: ast.Import) -> None:
        self._imported(node, [alias.name for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        package = self.module.room.split(".")
        above = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join([*above, *filter(None, [node.module])])
        self._imported(node, [f"{origin}.{alias.name}" for alias in node.names])

    def _imported(self, node: ast.stmt, names: Iterable[str]) -> None:
        modules = {self._module_of(name) for name in names} - {"", self.module.name}
        for module in sorted(modules):
            self.found.imports.append(Import(self.module.name, module, node.lineno, self.typing))

    def _module_of(self, name: str) -> str:
        """The module of ours that a dotted name leads to; "" if it is none of ours."""
        while name and name not in self.found.modules:
            name = name.rpartition(".")[0]
        return name

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = {_last_name(each) for each in node.decorator_list}
        arguments = node.args
        positional = arguments.posonlyargs + arguments.args
        method = bool(self.scopes) and isinstance(self.scopes[-1], ast.ClassDef)
        if method and "staticmethod" not in decorators:
            positional = positional[1:]
        rest = [each for each in (arguments.vararg, arguments.kwarg) if each]
        self.found.functions.append(
            Function(
                name=".".join([*self.names, node.name]),
                module=self.module.name,
                file=self.module.file,
                line=node.lineno,
                lines=(node.end_lineno or node.lineno) - node.lineno + 1,
                parameters=len(positional + arguments.kwonlyargs + rest),
                click=not decorators.isdisjoint({"command", "group"}),
            )
        )
        self._inside(node)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scopes.append(node)
        self.names.append(node.name)
        self.generic_visit(node)
        self.scopes.pop()
        self.names.pop()


def _last_name(node: ast.expr) -> str:
    """`command` of `@group.command("up")`, `TYPE_CHECKING` of `typing.TYPE_CHECKING`."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
