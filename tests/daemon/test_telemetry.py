"""hetd's side of telemetry: what counts of what nodes say, and that it waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.ailing import Sample, SlurmPlace
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.measured import Measured
from slurm_het.core.model import Job
from slurm_het.daemon.telemetry import Recorded, Telemetry, sources_of
from slurm_het.errors import HetError
from slurm_het.settings import TelemetrySettings
from slurm_het.telemetry.exporter import application, serve
from slurm_het.telemetry.host_watch import HostReading, HostWatch
from slurm_het.telemetry.reader import News
from slurm_het.telemetry.report import HostReport, JobUse
from tests.support import world

GIB = 1024


class Bench:
    """Telemetry without a reader, at a time that the test sets."""

    def __init__(self, **settings: Any) -> None:
        self.now, self.woken = 100.0, 0
        given = TelemetrySettings({"l40s[1-2]": "{node}:9"}, **settings)
        self.telemetry = Telemetry(given, self.recorded, lambda: self.now)
        self.telemetry.wake = self.wake

    def recorded(self) -> Recorded:
        return Recorded(world.inventory(), self.now)

    def wake(self) -> None:
        self.woken += 1

    def say(self, used_gib: int, *, age: float = 0.0, trouble: str = "", every: float = 0) -> None:
        """What l40s1:0 says, and that the others there are idle."""
        place = [SlurmPlace("gpu", n, 4) for n in range(4)]
        samples = tuple(Sample(n, "nvidia", 0, 48 * GIB, slurm=place[n]) for n in range(1, 4))
        first = Sample(0, "nvidia", used_gib * GIB, 48 * GIB, trouble=trouble, slurm=place[0])
        report = HostReport(age, (first, *samples), every=every)
        self.telemetry.hear(News({"l40s1": (self.now - age, report)}))

    def ails(self) -> list[Measured]:
        return [m for m in self.telemetry.measured().get("l40s1", ()) if m.ails]


def test_a_cycle_is_woken_when_what_counts_has_changed() -> None:
    bench = Bench()
    bench.say(30)
    assert (bench.ails(), bench.woken) == ([], 0)
    bench.now += 4
    bench.say(30)
    assert ([m.excess_gib for m in bench.ails()], bench.woken) == ([30], 1)
    bench.now += 4
    bench.say(30)
    assert bench.woken == 1
    bench.say(1)
    assert (bench.ails(), bench.woken) == ([], 2)


def test_what_goes_up_and_down_a_little_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for used in (30, 30, *([31, 34, 32, 29, 33] * 9)):
        bench.say(used)
        bench.now += 4
    assert (bench.woken, len(caplog.records)) == (1, 1)
    assert bench.ails()[0].excess_gib == 29, "the next cycle counts by what is so now"
    for used in (40, 40, 40):
        bench.say(used)
        bench.now += 4
    assert (bench.woken, bench.ails()[0].excess_gib) == (2, 40)
    for used in (36, 35, 34):  # bit by bit
        bench.say(used)
    assert bench.woken == 3


def test_what_closes_nothing_is_told_and_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    full = tuple(Sample(n, "nvidia", 30 * GIB * (n < 2), 48 * GIB) for n in range(4))
    for taken in range(3):
        report = HostReport(devices=(*full[:3], replace(full[3], used_mib=taken * GIB)))
        bench.telemetry.hear(News({"l40s1": (bench.now, report)}))
        bench.now += 4
    assert bench.woken == 0
    (record,) = caplog.records
    assert "l40s1: which of its devices is not known: 60 GiB in use beyond" in record.getMessage()


def test_a_nodes_word_of_a_job_counts_only_where_the_job_is() -> None:
    bench = Bench()
    here, there = (Job(7, uid=1001, nodes=nodes) for nodes in ("l40s[1-2]", "l40s2"))
    for used in (5, 30, 20):
        use = JobUse(7, 1001, 0, "nvidia", used * GIB)
        report = HostReport(jobs=(use, JobUse(7, 1, 0, "nvidia", 40 * GIB)))
        bench.telemetry.hear(News({"l40s1": (bench.now, report)}))
    assert bench.telemetry.peak_of(here) == 30 * GIB
    assert bench.telemetry.peak_of(there) == 0
    assert bench.telemetry.peak_of(Job(7, uid=1001)) == 0


def test_trouble_counts_at_once() -> None:
    bench = Bench()
    bench.say(0, trouble="lost")
    assert (bench.ails()[0].trouble, bench.woken) == ("lost", 1)


def test_who_is_silent_counts_no_more() -> None:
    bench = Bench()
    bench.say(0, trouble="lost")
    bench.now += 46
    assert dict(bench.telemetry.measured()) == {}
    bench.say(0, age=46, trouble="lost")  # it tells of the past
    assert dict(bench.telemetry.measured()) == {}
    bench.telemetry.hear(News(failures={"l40s1": "refused"}))
    assert bench.telemetry.status() == {"on": True, "heard": 0, "silent": {"l40s1": "refused"}}
    assert "l40s1: refused" in bench.telemetry.trouble
    bench.say(0)
    assert (bench.telemetry.trouble, bench.telemetry.status()["silent"]) == ("", {})


def test_who_is_read_seldom_is_believed_until_two_readings_are_missed() -> None:
    """Prometheus' own default is a minute."""
    bench = Bench()
    bench.say(0, trouble="lost", every=60.0)
    for _ in range(30):
        bench.now += 5
        assert [m.trouble for m in bench.ails()] == ["lost"]
    bench.now += 5
    assert bench.ails() == []
    bench.say(0, trouble="lost", every=1e9)
    bench.now += 301
    assert bench.ails() == []


def test_nodes_that_slurm_has_not_are_nobodys() -> None:
    bench = Bench()
    bench.telemetry.hear(News({"nowhere": (bench.now, HostReport(0, (Sample(0, "x", 1),)))}))
    assert dict(bench.telemetry.measured()) == {}


def test_without_a_source_nothing_is_asked_or_told() -> None:
    async def run() -> None:
        telemetry = Telemetry(TelemetrySettings(), lambda: Recorded(Inventory({}), 0.0))
        telemetry.start()
        assert telemetry.status() == {"on": False, "heard": 0, "silent": {}}
        assert (telemetry.trouble, dict(telemetry.measured())) == ("", {})
        await telemetry.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("exporters", "addresses"),
    [
        ({"n[1-2]": "{node}:9788"}, {f"n{i}": f"http://n{i}:9788/devices" for i in (1, 2)}),
        ({"a": "https://x/{node}"}, {"a": "https://x/a/devices"}),
    ],
)
def test_where_the_exporters_are(exporters: dict[str, str], addresses: dict[str, str]) -> None:
    assert sources_of(TelemetrySettings(exporters)).exporters == addresses
    with pytest.raises(HetError):
        sources_of(TelemetrySettings({"n[1-": "x"}))


async def _until(true: Callable[[], object]) -> None:
    for _ in range(300):
        if true():
            return
        await asyncio.sleep(0.05)
    pytest.fail("not within 15 s")


def test_a_reader_that_dies_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a process of its own, and hetd's end is its end."""
    monkeypatch.setattr("slurm_het.daemon.telemetry.RESTART_SECONDS", 0.1)
    server = serve(application(HostWatch(lambda _: HostReading(), 60, 1)), "127.0.0.1", 0)
    address = f"127.0.0.1:{server.server_port}"

    async def run() -> None:
        settings = TelemetrySettings({"l40s1": address}, every_seconds=0.2)
        recorded = Recorded(world.inventory(), 0.0)
        telemetry = Telemetry(settings, lambda: recorded)
        serving = asyncio.create_task(asyncio.to_thread(server.serve_forever))
        telemetry.start()
        await _until(lambda: telemetry.heard)
        first = telemetry.reader
        assert first is not None
        first.kill()
        telemetry.heard.clear()
        await _until(lambda: telemetry.heard)
        second = telemetry.reader
        assert second is not None
        assert second.pid != first.pid
        await telemetry.stop()
        assert second.returncode is not None
        server.shutdown()
        await serving
        server.server_close()

    asyncio.run(run())
