"""Whom Slurm's programs ask first, where the host of the first controller is dead."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm import controllers
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.controllers import Controllers, Pinged, pinged, reordered
from slurm_het.slurm.programs import Given

SITE = "ClusterName=c\nSlurmctldHost=ctl1(10.0.0.1)\n slurmctldhost = ctl2(10.0.0.2) # backup\n"
DEAD = [Pinged("ctl1", up=False), Pinged("ctl2", up=True)]
BOTH = "Slurmctld(primary) at ctl1 is {}\nSlurmctld(backup) at ctl2 is {}\n"


def test_what_scontrol_ping_prints() -> None:
    assert pinged(BOTH.format("DOWN", "UP")) == [Pinged("ctl1", up=False), Pinged("ctl2", up=True)]
    assert pinged("Slurmctld(primary) at a is UP") == [Pinged("a", up=True)]
    assert pinged("slurm_load: error\n") == []


def test_a_slurm_conf_that_names_another_first() -> None:
    assert reordered(SITE, DEAD) == (
        "ClusterName=c\n slurmctldhost = ctl2(10.0.0.2) # backup\nSlurmctldHost=ctl1(10.0.0.1)\n"
    )
    three = "SlurmctldHost=a\nX=1\nSlurmctldHost=b\nSlurmctldHost=c"
    assert reordered(
        three, [Pinged("a", up=False), Pinged("vm", up=True), Pinged("c", up=True)]
    ) == ("SlurmctldHost=b\nX=1\nSlurmctldHost=c\nSlurmctldHost=a\n")
    assert reordered("Include hosts.conf\n", DEAD) == ""


class Site:
    """A site's slurm.conf, and controllers that are asked in the order of the one in use."""

    def __init__(self, base: Path, *, wait: float = 0.02) -> None:
        self.etc, self.run, self.wait = base / "etc", base / "run", wait
        self.etc.mkdir()
        self.run.mkdir()
        (self.etc / "slurm.conf").write_text(SITE)
        (self.etc / "topology.conf").write_text("SwitchName=s\n")
        self.up = {"ctl1": True, "ctl2": True}
        self.asked: list[str] = []
        self.it = Controllers(self._ping, self._configured, self.etc / "slurm.conf")

    async def _configured(self) -> dict[str, str]:
        return {}

    async def _ping(self, *words: str, given: Given) -> bytes:
        assert (words, given.aside) == (("scontrol", "ping"), True)
        text = Path(given.env["SLURM_CONF"]).read_text()
        self.asked.append(given.env["SLURM_CONF"])
        if not all(self.up.values()):
            await asyncio.sleep(self.wait)
        if not any(self.up.values()):
            raise SlurmError("no answer")
        order = sorted(self.up, key=text.index)
        told = (f"Slurmctld(x) at {n} is {'UP' if self.up[n] else 'DOWN'}\n" for n in order)
        return "".join(told).encode()

    def look(self, times: int = 1) -> Path | None:
        """Look so often; the slurm.conf that programs read then."""
        for _ in range(times):
            asyncio.run(self.it.look(self.run / "slurm-conf"))
        return self.it.conf


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controllers, "SILENT_SECONDS", 0.01)


def test_who_answers_is_asked_first_until_the_first_is_back(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert (site.look(3), site.it.env) == (None, {})
    site.up["ctl1"] = False
    assert site.look() is None, "once may be chance"
    conf = site.look()
    assert conf == site.run / "slurm-conf" / "slurm.conf"
    assert conf is not None
    assert conf.read_text() == reordered(SITE, DEAD)
    assert (conf.parent / "topology.conf").read_text() == "SwitchName=s\n"
    assert site.it.env == {"SLURM_CONF": str(conf)}
    assert site.look(3) == conf
    (site.etc / "slurm.conf").write_text(SITE + "MessageTimeout=20\n")
    assert site.look() == conf
    assert "MessageTimeout=20" in conf.read_text(), "what the site says anew counts"
    site.up["ctl1"] = True
    assert (site.look(), site.it.env) == (None, {})
    site.up["ctl1"] = False
    assert site.look(2) == conf, "and once more"


def test_a_host_that_refuses_costs_nothing_and_keeps_its_place(tmp_path: Path) -> None:
    site = Site(tmp_path, wait=0.0)
    site.up["ctl1"] = False
    assert site.look(4) is None


def test_where_nobody_answers_the_order_stays(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.up = {"ctl1": False, "ctl2": False}
    assert site.look(4) is None


def test_a_backup_that_is_dead_changes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.up["ctl2"] = False
    assert site.look(4) is None


def test_where_it_cannot_be_written_nothing_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    site.up["ctl1"] = False
    (site.run / "slurm-conf").write_text("a file")
    assert site.look(4) is None
    assert caplog.text.count("cannot write") == 1


def test_controllers_that_an_included_file_names_keep_their_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    site.up["ctl1"] = False
    (site.etc / "slurm.conf").write_text("Include ctl1.conf\n# ctl2\n")
    assert site.look(4) is None
    assert caplog.text.count("does not name them itself") == 1


def test_one_controller_is_looked_at_less_often(tmp_path: Path) -> None:
    async def alone(*_: str, **__: Any) -> bytes:
        return b"Slurmctld(primary) at ctl1 is UP\n"

    site = Site(tmp_path)
    assert not asyncio.run(site.it.look(site.run))
    only = Controllers(alone, site.it._configured, site.etc / "slurm.conf")  # noqa: SLF001
    assert asyncio.run(only.look(site.run))


def test_that_it_ends_does_not_count_as_an_answer_of_slurm(tmp_path: Path) -> None:
    """hetd's watchdog goes by those, and it asks while a cycle hangs, too."""
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho 'Slurmctld(primary) at ctl1 is DOWN'\n")
    program.chmod(0o755)
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path))

    async def pinged_then_asked() -> list[bool]:
        await slurm.controllers._ping(None)  # noqa: SLF001
        before = slurm.answered > 0
        await slurm.ask("scontrol", "ping")
        return [before, slurm.answered > 0]

    assert asyncio.run(pinged_then_asked()) == [False, True]
