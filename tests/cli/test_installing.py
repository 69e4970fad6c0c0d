"""slurm-het render --install: what it writes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from slurm_het.cli.checks.hook import HEAD
from slurm_het.cli.installing import Rendered, install
from slurm_het.cli.rendered import rendered
from slurm_het.resources import data_dir
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import config_text

OURS = f"{HEAD}, a file of the hook\n"


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
        (f"{HEAD}, an older one\n", OURS, "replaced"),
        ("-- the site's\n", "-- the site's\n", "left as it is"),
    ],
)
@pytest.mark.parametrize("name", ["job_submit.lua", "het_event.lua"])
def test_a_file_that_is_there(name: str, there: str, then: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(there)
    lines = [line for line in install(files(tmp_path), tmp_path) if str(path) in line]
    assert lines[0].startswith(word)
    assert path.read_text() == then


def test_what_is_replaced_is_kept_once_of_each_text(tmp_path: Path) -> None:
    path = tmp_path / "job_submit.lua"
    texts = [f"{HEAD}, with lines of the site: {number}\n" for number in (1, 2, 1)]
    for text in texts:
        path.write_text(text)
        path.chmod(0o750)
        list(install(files(tmp_path), tmp_path))
    copies = sorted(tmp_path.glob("job_submit.lua.*"))
    assert [copy.name for copy in copies] == ["job_submit.lua.~1~", "job_submit.lua.~2~"]
    assert [copy.read_text() for copy in copies] == texts[:2]
    assert copies[0].stat().st_mode & 0o777 == 0o750


def test_a_link_stays_one(tmp_path: Path) -> None:
    kept = tmp_path / "kept.lua"
    kept.write_text(f"{HEAD}, an older one\n")
    path = tmp_path / "job_submit.lua"
    path.symlink_to(kept.name)
    list(install(files(tmp_path), tmp_path))
    assert path.is_symlink()
    assert kept.read_text() == OURS


class SiteSlurm(FakeSlurm):
    """A site's, whose slurm.conf lies in a directory."""

    def __init__(self, etc: Path, **conf: str) -> None:
        super().__init__()
        self.conf = {"SLURM_CONF": str(etc / "slurm.conf"), **conf}

    async def configuration(self) -> dict[str, str]:
        return self.conf


POLICY = "function slurm_job_submit(job)\n  return slurm.SUCCESS\nend\nreturn slurm.SUCCESS\n"


@pytest.mark.parametrize(
    "own",
    [
        "-- the policy of this site\n" + POLICY,
        POLICY.replace("  return", "  if job.het_job_offset ~= nil then return end\n  return"),
        "-- slurm-het comes after us: het_protocol.lua, het_chain.lua\n" + POLICY,
        POLICY + 'dofile("/etc/slurm/het/het_chain.lua")\n',
    ],
)
def test_render_installs_beside_a_policy_of_the_sites_own_whatever_is_in_it(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc, config = tmp_path / "etc", tmp_path / "het.yaml"
    etc.mkdir()
    (etc / "job_submit.lua").write_text(own)
    config.write_text(config_text(tmp_path))
    monkeypatch.setattr("slurm_het.cli.rendered.CliSlurm", lambda _settings: SiteSlurm(etc))
    monkeypatch.setattr("slurm_het.cli.rendered.UNITS", tmp_path)
    done = CliRunner().invoke(rendered, ["--install", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert (etc / "job_submit.lua").read_text() == own
    assert f'dofile("{etc}/slurm-het/het_chain.lua")' in done.output
    shipped = (data_dir("job_submit") / "job_submit.lua").read_text()
    assert (etc / "slurm-het" / "job_submit.lua").read_text() == shipped
    again = CliRunner().invoke(rendered, ["--install", "--config", str(config)])
    assert "replaced" not in again.output, again.output


@pytest.mark.parametrize(
    ("conf", "words", "user", "group"),
    [
        ({"SlurmUser": "root(0)"}, (), "root", "root"),
        ({"SlurmUser": "games(5)"}, (), "games", "games"),
        ({"SlurmUser": "no-such-user(64030)"}, (), "no-such-user", "no-such-user"),
        ({}, (), "root", "root"),
        ({"SlurmUser": "root(0)"}, ("--user", "nobody"), "nobody", "nogroup"),
    ],
)
def test_hetd_runs_as_slurm_user(
    conf: dict[str, str], words: tuple[str, ...], user: str, group: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "etc").mkdir()
    config = tmp_path / "het.yaml"
    config.write_text(config_text(tmp_path))
    site = SiteSlurm(tmp_path / "etc", **conf)
    monkeypatch.setattr("slurm_het.cli.rendered.CliSlurm", lambda _settings: site)
    monkeypatch.setattr("slurm_het.cli.rendered.UNITS", tmp_path / "etc")
    done = CliRunner().invoke(rendered, [str(tmp_path), "--config", str(config), *words])
    assert done.exit_code == 0, done.output
    unit = (tmp_path / "hetd.service").read_text().splitlines()
    assert {f"User={user}", f"Group={group}"} <= set(unit)
