"""The deb, built once: what is in it, and that it runs. e2e/test_package.py installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
EPOCH = "1700000000"
PINS = (ROOT / "package" / "wheels.txt").read_text()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dpkg would lay out, with the package's own files in DEBIAN."""
    pytest.importorskip("click_man", reason="click-man is not installed: pip install -e '.[man]'")
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run(
        [sys.executable, "-m", "package.build", "--only", "deb", str(folder)],
        cwd=ROOT, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "could not fetch the wheels" in done.stderr:
        pytest.skip("pip cannot fetch the wheels of package/wheels.txt here")
    assert done.returncode == 0, done.stderr
    (deb,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-R", str(deb), str(folder / "tree")], check=True, timeout=60)
    return folder / "tree"


def test_each_program_has_its_command_page_and_completions(tree: Path) -> None:
    for name in PROGRAMS:
        assert os.readlink(tree / "usr/bin" / name) == f"/opt/slurm-het/bin/{name}"
        assert (tree / f"usr/share/man/man1/{name}.1.gz").stat().st_size > 100
        assert (tree / f"usr/share/bash-completion/completions/{name}").exists()
        assert (tree / f"usr/share/zsh/vendor-completions/_{name}").exists()


def test_what_slurm_and_systemd_take_is_there(tree: Path) -> None:
    ours = tree / "opt/slurm-het/lib/any/slurm_het"
    for name in ("job_submit/job_submit.lua", "examples/het.yaml", "templates/task_prolog.sh.j2"):
        assert (ours / name).read_bytes() == (ROOT / name).read_bytes()
    for name in ("job_submit", "examples", "templates"):
        assert os.readlink(tree / "usr/share/slurm-het" / name).endswith(f"/slurm_het/{name}")
    unit = (tree / "usr/lib/systemd/system/hetd.service").read_text()
    assert "ExecStart=/opt/slurm-het/bin/python -m slurm_het.daemon.app" in unit
    assert "made by" not in unit.splitlines()[0], "postrm deletes those that are"


def test_each_document_and_schema_is_there(tree: Path) -> None:
    papers = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/schemas/*.json")]
    for paper in papers:
        there = tree / "usr/share/doc/slurm-het" / paper.relative_to(ROOT)
        assert there.read_bytes() == paper.read_bytes()


def test_nothing_of_the_builder_is_in_it(tree: Path) -> None:
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    ours = tree / "opt/slurm-het/lib/any/slurm_het"
    found = {str(p.relative_to(ours.parent)) for p in ours.rglob("*.py")}
    assert found == {name for name in known if name.startswith("slurm_het/") and name[-3:] == ".py"}
    assert not list(tree.rglob("__pycache__"))
    ages = {path.lstat().st_mtime for path in (tree / "opt").rglob("*") if not path.is_dir()}
    assert ages == {float(EPOCH)}


def test_every_licence_is_told(tree: Path) -> None:
    text = (tree / "usr/share/doc/slurm-het/copyright").read_text()
    for name, version in re.findall(r"^(\S+)==(\S+) ", PINS, re.MULTILINE):
        spelled = name.replace("-", "[-_]")
        assert re.search(rf"^{spelled} {version}, below", text, re.MULTILINE | re.IGNORECASE), name


def test_it_runs_on_this_python_wherever_it_lies(tree: Path) -> None:
    home = tree / "opt/slurm-het"
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("there is no /usr/bin/python3, which the package is for")
    code = (
        "import msgspec, yaml, markupsafe, ClusterShell, jinja2, prometheus_client, pynvml\n"
        "from slurm_het.solve.mip_model import MipModel, has_highs, usable\n"
        "model = MipModel('highs')\n"
        "print(has_highs, usable('cbc'), __import__('slurm_het').__file__)\n"
    )
    done = subprocess.run(
        [str(home / "bin/python"), "-c", code], capture_output=True, text=True, timeout=60,
        env={"PMIP_HIGHS_LIBRARY": str(home / "lib/libhighs.so.1"), "PATH": "/usr/bin:/bin"},
        cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "highs", f"{home}/lib/any/slurm_het/__init__.py"]
    assert "CBC library" not in done.stderr
