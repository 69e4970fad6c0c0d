"""The structure of the code keeps to its limits; `./dev bench structure` tells more."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import structure
from bench.structure_source import Arrow, Structure, cycles, read, spread

MODULE_LINES = 400
FUNCTION_LINES = 45
PARAMETERS = 5

MANY_PARAMETERS = {
    "slurm_het.cli.replay.replay": "click passes each option as a parameter",
    "slurm_het.cli.report.report": "click passes each option as a parameter",
    "slurm_het.cli.sandbox.up": "click passes each option as a parameter",
    "slurm_het.cli.sinfo.sinfo": "click passes each option as a parameter",
    "slurm_het.core.planner.plan.plan": "what there is, who waits, how to solve it",
    "slurm_het.core.reservations.look_ahead.look_ahead": "six kinds of things decide who is next",
    "slurm_het.daemon.cycle.Cycle.__init__": "all of hetd's outside, each a fake in its tests",
    "slurm_het.replay.findings._gain": "both sides, and what they are held against",
    "slurm_het.replay.findings.findings": "all that a report tells of",
    "slurm_het.replay.trace.make_trace": "what happened, where, and of which days",
    "slurm_het.sandbox.cluster.Sandbox.up": "an option each, all with defaults",
    "slurm_het.sandbox.procs.spawn": "what a process needs",
}
"""Functions with more than PARAMETERS parameters, and why."""

TODAY: dict[str, set[str]] = {
    "modules": set(),
    "functions": set(),
    "parameters": set(),
    "cycles": set(),
}
"""What breaks a limit today. Nothing may come to it; what breaks no limit any more must go."""


@pytest.fixture(scope="module")
def project() -> Structure:
    return read(structure.ROOT)


@pytest.mark.parametrize("limit", TODAY)
def test_the_project_keeps_to_its_limits(project: Structure, limit: str) -> None:
    broken = {
        "modules": {module.name for module in project.long_modules(MODULE_LINES)},
        "functions": {function.name for function in project.long_functions(FUNCTION_LINES)},
        "parameters": {function.name for function in project.many_parameters(PARAMETERS)},
        "cycles": {" ".join(c) for c in (*project.module_cycles(), *project.room_cycles())},
    }
    listed = TODAY[limit] | (set(MANY_PARAMETERS) if limit == "parameters" else set())
    assert not broken[limit] - listed, "over the limit"
    assert not listed - broken[limit], "over no limit: take it out of the list"


def test_no_two_classes_have_one_name() -> None:
    sources = (structure.ROOT / "slurm_het").rglob("*.py")
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_there_is_something_to_measure(project: Structure) -> None:
    assert len(project.rooms()) > 3
    assert len(project.functions) > 100
    assert project.arrows()


SOURCES = {
    "__init__.py": "",
    "errors.py": "import os\nfrom slurm_het.core import inner\n",
    "core/__init__.py": "from ..errors import HetError, Other\n",
    "core/plan.py": (
        "from typing import TYPE_CHECKING\n"
        "from .inner import deep, model\n"
        "if TYPE_CHECKING:\n"
        "    import slurm_het.cli\n"
        "else:\n"
        "    import slurm_het.errors as e\n"
    ),
    "core/inner/__init__.py": "\n",
    "core/inner/model.py": "class Model:\n    from slurm_het.core.inner.deep import Deep\n",
    "core/inner/deep.py": (
        "import slurm_het.errors\ndef deep():\n    from . import model\n    return model\n"
    ),
    "cli.py": (
        "import click\n"
        "from slurm_het.core.plan import plan\n"
        "@group.command('up')\n"
        "@click.option('--f')\n"
        "def up(a, b, c, d, e, f):\n"
        "    pass\n"
        "class Up:\n"
        "    def method(self, a, /, b, c, *d, e, **f):\n"
        "        async def inner(a, b, c, d, e):\n" + "            a\n" * 44 + "\n"
        "    @staticmethod\n"
        "    def static(a, b, c, d, e): pass\n"
        "    @classmethod\n"
        "    def made(cls, a, b, c, d, e): pass\n"
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package of three rooms that has everything a report tells of."""
    for name, text in SOURCES.items():
        file = tmp_path / "slurm_het" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_rooms_are_package_directories(root: Path) -> None:
    rooms = {room: [m.name for m in modules] for room, modules in read(root).rooms().items()}
    assert rooms == {
        "slurm_het": ["slurm_het.cli", "slurm_het.errors"],
        "slurm_het.core": ["slurm_het.core", "slurm_het.core.plan"],
        "slurm_het.core.inner": [
            "slurm_het.core.inner", "slurm_het.core.inner.deep", "slurm_het.core.inner.model",
        ],
    }  # fmt: skip


def test_arrows_count_statements_and_module_pairs(root: Path) -> None:
    found = read(root)
    assert found.arrows() == [
        Arrow("slurm_het", "slurm_het.core", 1, 1),
        Arrow("slurm_het", "slurm_het.core.inner", 1, 1),
        Arrow("slurm_het.core", "slurm_het", 2, 2),
        Arrow("slurm_het.core", "slurm_het.core.inner", 1, 2),
        Arrow("slurm_het.core.inner", "slurm_het", 1, 1),
    ]
    assert found.arrows(typing=True) == [Arrow("slurm_het.core", "slurm_het", 1, 1)]


def test_cycles_of_rooms_and_of_modules(root: Path) -> None:
    found = read(root)
    assert found.room_cycles() == [["slurm_het.core.inner", "slurm_het.errors"]]
    inner = ["slurm_het.core.inner.deep", "slurm_het.core.inner.model"]
    assert found.module_cycles() == [inner]
    typed = ["slurm_het.cli", "slurm_het.core.plan"]
    assert found.module_cycles(typing=True) == [typed, inner]


def test_cycles_are_strongly_connected_components() -> None:
    assert cycles({"a": "b", "b": "c", "c": "ad", "d": "e", "e": "e", "f": "ga"}) == [[*"abc"]]


def test_functions_are_measured_from_def_to_their_last_line(root: Path) -> None:
    found = read(root)
    lines = {f.name.removeprefix("slurm_het.cli."): (f.line, f.lines) for f in found.functions}
    assert lines["up"] == (5, 2)
    assert lines["Up.method.inner"] == (9, 45)
    assert [f.name for f in found.long_functions(45)] == ["slurm_het.cli.Up.method"]
    assert [m.name for m in found.long_modules(50)] == ["slurm_het.cli"]


def test_parameters_are_counted_without_self(root: Path) -> None:
    many = [(f.name, f.parameters, f.click) for f in read(root).many_parameters(5)]
    assert many == [("slurm_het.cli.Up.method", 6, False), ("slurm_het.cli.up", 6, True)]


def test_spread() -> None:
    assert spread(range(1, 21)) == {"number": 20, "median": 10.5, "p90": 18, "max": 20}
    assert spread([]) == {"number": 0, "median": 0, "p90": 0, "max": 0}


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["structure", *arguments])
    structure.main()


def test_the_report_tells_of_each(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "--root", str(root))
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert max(map(len, printed.splitlines())) <= 100
    assert "1 cycle between rooms" in lines
    thinnest = "slurm_het/core/inner/deep.py:1 imports slurm_het.errors"
    assert thinnest in lines, "the thinnest arrow"
    assert "46 slurm_het/cli.py:8 Up.method" in lines
    assert "6 slurm_het/cli.py:5 up (click)" in lines


def test_json_is_for_scripts(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "--root", str(root), "--json")
    found = json.loads(capsys.readouterr().out)
    assert len(found["modules"]) == 7
    assert found["room_cycles"] == [["slurm_het.core.inner", "slurm_het.errors"]]


def test_a_directory_without_the_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--root", str(tmp_path))
    assert "there is no slurm_het/ in" in capsys.readouterr().err
