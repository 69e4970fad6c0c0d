"""What packages ship beside the programs: manual pages, and completions that a shell reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
COMPLETE = """
source "$1"
COMP_WORDS=({words}) COMP_CWORD={at}
_{function}_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./dev man` writes, by a process of its own: it changes the commands' help."""
    pytest.importorskip("click_man", reason="click-man is not installed: pip install -e '.[man]'")
    directory = tmp_path_factory.mktemp("man")
    command = [sys.executable, "-m", "docs.tools.man_pages", str(directory)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)
    return directory


def test_each_program_and_each_command_has_a_page(made: Path) -> None:
    pages = {page.stem: page.read_text() for page in (made / "man1").iterdir()}
    assert set(PROGRAMS) | {"slurm-het-status", "slurm-het-page", "slurm-het-why"} <= set(pages)
    for name, text in pages.items():
        summary = text.partition(".SH NAME\n")[2].partition("\n")[0]
        assert summary.endswith("."), name
        assert "\b" not in text


def test_a_page_has_the_examples_line_by_line(made: Path) -> None:
    text = (made / "man1" / "het-squeue.1").read_text()
    block = text.partition(".nf\nExamples:\n")[2].partition("\n.fi")[0]
    assert "  het-squeue -p accel                  what waits in the gate, and for what" in block


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not here: apt-get install groff")
def test_groff_has_nothing_to_complain_of(made: Path) -> None:
    for page in (made / "man1").iterdir():
        command = ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", str(page)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        assert done.stderr == "", page.name


@pytest.mark.parametrize(
    ("program", "words", "found"),
    [
        ("slurm-het", "slurm-het byp", ["bypass"]),
        ("slurm-het", "slurm-het page --re", ["--renewed"]),
        ("het-squeue", "het-squeue --st", ["--states", "--state", "--start"]),
        ("het-sinfo", "het-sinfo --summ", ["--summarize"]),
        ("hetd", "hetd --ver", ["--verbose"]),
    ],
)
def test_bash_completes(
    program: str, words: str, found: list[str], made: Path, tmp_path: Path
) -> None:
    module, _, function = PROGRAMS[program].partition(":")
    own = tmp_path / program
    own.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from {module} import {function}\n{function}()\n"
    )
    own.chmod(0o755)
    script = COMPLETE.format(
        words=words, at=len(words.split()) - 1, function=program.replace("-", "_"),
        program=program,
    )  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(made / "bash" / program)],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.split() == found
