"""slurm-het render --install: what it writes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_het.cli.installing import Rendered, install

OURS = "-- slurm-het: a file of the hook\n"


def files(etc: Path, room: str = "") -> list[Rendered]:
    """As `slurm-het render` makes them, for a site with a hook of its own if there is a room."""
    home = etc / room if room else etc
    return [
        Rendered("job_submit.lua", OURS, home / "job_submit.lua", runs=True),
        Rendered("het_chain.lua", OURS, home / "het_chain.lua", runs=True, needed=False),
        Rendered("het_event.lua", OURS, home / "het_event.lua", runs=True),
        Rendered("cli_filter.lua", OURS, etc / "cli_filter.lua", needed=False),
        Rendered("gres.conf", "Name=gpu\n", etc / "gres.conf"),
        Rendered("hetd.service", "# hetd of slurm-het\n", etc / "hetd.service"),
    ]


def test_what_a_controller_needs_is_put_in_place(tmp_path: Path) -> None:
    told = "\n".join(install(files(tmp_path), tmp_path))
    there = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert there == {"job_submit.lua": 0o755, "het_event.lua": 0o755, "hetd.service": 0o644}
    assert f"EpilogSlurmctld={tmp_path}/het_event.lua" in told
    assert "dofile" not in told


def test_a_hook_of_the_sites_own_stays_and_is_told_how_to_call_ours(tmp_path: Path) -> None:
    own = tmp_path / "job_submit.lua"
    own.write_text("return slurm.SUCCESS\n")
    told = "\n".join(install(files(tmp_path, "slurm-het"), tmp_path))
    assert own.read_text() == "return slurm.SUCCESS\n"
    assert (tmp_path / "slurm-het" / "job_submit.lua").read_text() == OURS
    assert (tmp_path / "slurm-het" / "het_chain.lua").exists()
    assert f'dofile("{tmp_path}/slurm-het/het_chain.lua")' in told


@pytest.mark.parametrize(
    ("there", "then", "word"),
    [
        (OURS, OURS, "is there"),
        ("-- slurm-het: an older one\n", OURS, "replaced"),
        ("-- the site's\n", "-- the site's\n", "left as it is"),
    ],
)
def test_a_file_that_is_there(there: str, then: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "het_event.lua"
    path.write_text(there)
    lines = [line for line in install(files(tmp_path), tmp_path) if str(path) in line]
    assert lines[0].startswith(word)
    assert path.read_text() == then
