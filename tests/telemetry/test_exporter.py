"""het-exporter: what it tells of a host, to Prometheus and to hetd; and how hetd's reader asks."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from slurm_het.core.cluster.ailing import Sample
from slurm_het.errors import HetError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.exporter import HANDLERS, application, main, serve
from slurm_het.telemetry.host_watch import HostReading, HostWatch
from slurm_het.telemetry.http import get
from slurm_het.telemetry.metrics import bounded
from slurm_het.telemetry.owners import ProcessOwner, owner_of
from slurm_het.telemetry.reader import Sources, from_exporters
from slurm_het.telemetry.replay import Replay
from slurm_het.telemetry.report import HostReport, JobUse, hear
from slurm_het.templating import exporter_unit

GIB = 1024
OWNERS = {
    10: ProcessOwner(7, 1000),
    11: ProcessOwner(7, 1000),
    12: ProcessOwner(7, 1001),
    20: ProcessOwner(0, 0),
    30: None,
}
CARDS = (
    DeviceReading(
        0, "nvidia", "0000:3b:00.0", "NVIDIA A100", 80 * GIB, 50 * GIB,
        (DeviceProcess(10, GIB), DeviceProcess(11, 2 * GIB), DeviceProcess(12, 5),
         DeviceProcess(20, 30 * GIB)), 0.5,
    ),
    DeviceReading(1, "nvidia", memory_used_mib=4, processes=(DeviceProcess(30, 4),)),
    DeviceReading(2, "nvidia", unhealthy="Xid 79 at 0xdeadbeef: fallen off\x1b[31m the bus"),
)  # fmt: skip


class Host:
    """A host whose reading a test sets."""

    def __init__(self) -> None:
        self.cards: tuple[DeviceReading, ...] = CARDS
        self.failure = ""

    def read(self, _seconds: float) -> HostReading:
        if self.failure:
            raise HetError(self.failure)
        return HostReading(self.cards)


def watching(host: Host) -> HostWatch:
    made = HostWatch(host.read, 60.0, 1.0, OWNERS.get)
    made.look()
    return made


def test_what_hetd_is_told_of_a_host() -> None:
    report = watching(Host()).report()
    assert report.devices == (
        Sample(0, "nvidia", 50 * GIB, 80 * GIB, 30 * GIB, model="NVIDIA A100"),
        Sample(1, "nvidia", 4, None, None),  # whose that process is, nobody knows
        Sample(2, "nvidia", None, None, 0, "Xid 79 at 0xdeadbeef: fallen off?[31m the bus"),
    )
    assert set(report.jobs) == {
        JobUse(7, 1000, 0, "nvidia", 3 * GIB), JobUse(7, 1001, 0, "nvidia", 5),
    }  # fmt: skip
    assert hear(msgspec.json.encode(report)).devices == report.devices


def test_what_cannot_be_read_anew_grows_old() -> None:
    host = Host()
    watch = watching(host)
    host.failure = "the driver hangs"
    time.sleep(0.1)
    watch.look()
    report = watch.report()
    assert (report.failure, len(report.devices)) == ("the driver hangs", 3)
    assert report.age >= 0.1
    host.failure = ""
    watch.look()
    assert (watch.report().failure, watch.report().age < 0.1) == ("", True)


@pytest.fixture
def url() -> Iterator[str]:
    server = serve(application(watching(Host())), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_idle_connections_take_no_place_from_who_asks(url: str) -> None:
    """Nor the processes by which the devices are read: each has a thread until it has asked."""
    address, _, port = url.partition(":")
    before = threading.active_count()
    held = []
    try:
        for number in range(300):
            held.append(socket.create_connection((address, int(port))))
            if number % 50 == 49:
                with urllib.request.urlopen(f"http://{url}/devices", timeout=5) as answer:
                    assert len(hear(answer.read()).devices) == len(CARDS)
                assert threading.active_count() - before <= 2 * HANDLERS
    finally:
        for connection in held:
            connection.close()


def test_prometheus_is_told_in_its_own_words(url: str) -> None:
    with urllib.request.urlopen(f"http://{url}/metrics") as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    here = '{device="0",vendor="nvidia"}'
    assert f"slurm_het_device_memory_used_bytes{here} 5.36870912e+10" in lines
    assert f"slurm_het_device_memory_foreign_bytes{here} 3.221225472e+10" in lines
    assert f"slurm_het_device_utilization_ratio{here} 0.5" in lines
    assert f"slurm_het_device_processes{here} 4.0" in lines
    assert 'slurm_het_device_healthy{device="2",vendor="nvidia"} 0.0' in lines
    assert not [x for x in lines if "total_bytes" in x and 'device="1"' in x]  # not known
    (trouble,) = (line for line in lines if line.startswith("slurm_het_device_trouble"))
    assert 'reason="Xid 79 at #: fallen off' in trouble


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("Xid 79", "Xid 79"),
        ("12345 pages retired", "# pages retired"),
        ("at 0000:3b:00.0 0xFF", "at #:3b:00.0 #"),
        ("x" * 500, "x" * 120),
    ],
)
def test_no_label_grows_without_bound(reason: str, label: str) -> None:
    assert bounded(reason) == label


@pytest.mark.parametrize(
    ("cgroup", "environ", "job"),
    [
        ("0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0\n", b"", 42),
        ("5:devices:/slurm/uid_1000/job_7/step_batch\n", b"", 7),
        ("0::/user.slice\n", b"A=b\0SLURM_JOB_ID=9\0", 9),
        ("0::/user.slice/job_x\n", b"MY_SLURM_JOB_ID=9\0", 0),
    ],
)
def test_whose_a_process_is(tmp_path: Path, cgroup: str, environ: bytes, job: int) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "cgroup").write_text(cgroup)
    (tmp_path / "5" / "environ").write_bytes(environ)
    assert owner_of(5, tmp_path) == (job, tmp_path.stat().st_uid)
    assert owner_of(6, tmp_path) is None


def ask(**urls: str) -> tuple[dict[str, HostReport], dict[str, str]]:
    async def all_of_it() -> tuple[dict[str, HostReport], dict[str, str]]:
        reports: dict[str, HostReport] = {}
        failures: dict[str, str] = {}
        async for news in from_exporters(Sources(urls, "", 1.0, 0.5, 60.0)):
            reports |= {name: report for name, (_, report) in news.reports.items()}
            failures |= news.failures
        return reports, failures

    return asyncio.run(all_of_it())


def test_the_reader_waits_for_no_node(url: str) -> None:
    """One hangs, one is not there, one answers what is no report, one drips: the others count."""

    async def run() -> None:
        async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(30)
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        urls = {"good": f"http://{url}/devices", "hangs": f"http://127.0.0.1:{port}/devices",
                "gone": "http://127.0.0.1:1/devices", "odd": f"http://{url}/metrics",
                "bad": "http://[::1/devices", "name": "http://none.invalid/devices"}  # fmt: skip
        began = time.monotonic()
        reports, failures = await asyncio.to_thread(lambda: ask(**urls))
        assert time.monotonic() - began < 5.0
        assert set(reports) == {"good"}
        assert set(failures) == set(urls) - {"good"}
        assert failures["hangs"] == "no answer within 0.5 s"
        server.close()

    asyncio.run(run())


def answering(head: bytes, body: bytes) -> Callable[..., Coroutine[Any, Any, None]]:
    """What answers whoever asks with these."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n" + body)
        await writer.drain()
        writer.close()

    return answer


@pytest.mark.parametrize(
    "date",
    [
        b"Mon, 99999999999999999 Jan 2026 00:00:00 GMT", b"Mon, 01 Jan 99999999999 00:00:00 GMT",
        b"Mon, 01 Jan 2026 00:00:00 +99999999999", b"Mon, 01 Jan 0001 00:00:00 -9959",
        b"0", b"\xff", b"", b",",
    ],
)  # fmt: skip
def test_a_date_that_is_none_is_not_told(date: bytes) -> None:
    async def run() -> None:
        server = await asyncio.start_server(
            answering(b"Date: " + date + b"\r\n", b"{}"), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        answer = await get(f"http://127.0.0.1:{port}/", 5.0, 100)
        assert (answer.body, answer.date) == (b"{}", None)
        server.close()

    asyncio.run(run())


def test_an_answer_that_nobody_foresaw_is_that_nodes_failure(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        server = await asyncio.start_server(answering(b"", b"odd"), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        def stumbling(body: bytes) -> HostReport:
            return HostReport(age=1 / (body != b"odd")) if body == b"odd" else hear(body)

        monkeypatch.setattr("slurm_het.telemetry.reader.hear", stumbling)
        urls = {"good": f"http://{url}/devices", "odd": f"http://127.0.0.1:{port}/"}
        reports, failures = await asyncio.to_thread(lambda: ask(**urls))
        assert set(reports) == {"good"}
        told = {"odd": "its answer cannot be read: ZeroDivisionError: division by zero"}
        assert failures == told
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'{"devices": 3}', b'{"age": -1}', b'{"age": 1e400}',
        b'{"devices": [[]]}', b'{"devices": [{"place": "x", "vendor": "v"}]}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        hear(body)


def test_what_no_driver_says_is_left_out() -> None:
    odd = {"place": 0, "vendor": "v" * 1000, "used_mib": -5, "total_mib": 1 << 60,
           "trouble": "\x1b]0;x\x07" + "y" * 1000}  # fmt: skip
    body = msgspec.json.encode({"devices": [odd] * 5000, "more": 1})
    assert len(hear(body).devices) == 1024
    use = {"job": 1, "uid": 2, "place": 0, "vendor": "v", "used_mib": 1}
    uses = [
        use,
        use | {"uid": -1},
        use | {"job": 0},
        use | {"job": 1 << 40},
        use | {"used_mib": -1},
    ]
    places = b"99999999999999999999999", b"-1", b"1024"
    body = b'{"devices": [%s%s], "jobs": %s}' % (
        msgspec.json.encode(odd),
        b"".join(b', {"place": %s, "vendor": "v"}' % place for place in places),
        msgspec.json.encode([*uses, use | {"place": -1}]),
    )
    report = hear(body)
    msgspec.msgpack.encode(report)
    assert (len(report.devices), report.jobs) == (1, (JobUse(1, 2, 0, "v", 1),))
    one = report.devices[0]
    assert (one.used_mib, one.total_mib, len(one.vendor)) == (None, None, 120)
    assert "\x1b" not in one.trouble
    assert len(one.trouble) <= 120


@pytest.mark.parametrize("text", ["", "{", "3", "devices: 7", "- {index: x, vendor: v}", "a: b: c"])
def test_a_recording_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(HetError):
        Replay(file).read(1.0)
    with pytest.raises(HetError):
        Replay(tmp_path / "none").read(1.0)


def test_a_recording_is_a_list_or_a_table(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("- {index: 0, vendor: amd}\n- {index: 1, vendor: amd, address: a}\n")
    replay = Replay(file)
    assert len(replay.read(1.0).devices) == 2
    file.write_text("{age: 3, devices: [{index: 0, vendor: amd}]}")
    told = replay.read(1.0)
    assert (told.age, [d.unhealthy != "" for d in told.devices]) == (3.0, [False, True])


def test_without_its_library_it_ends_for_good_and_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """systemd starts it anew after any other end: a port may be free again, an address come."""
    assert CliRunner().invoke(main, ["--listen", "nowhere"]).exit_code == 2
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    told = CliRunner().invoke(main, ["--listen", "127.0.0.1:0"])
    assert told.exit_code == 78
    assert f"{sys.executable} -m pip install 'prometheus-client>=" in told.stderr
    unit = exporter_unit(":9788").splitlines()
    assert {"Restart=always", "RestartPreventExitStatus=78 2"} <= set(unit)
