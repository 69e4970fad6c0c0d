"""All devices of a host, within a deadline, whatever their drivers do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_het.errors import HetError, ProbeError
from slurm_het.telemetry.child import ChildAnswer, answer
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host import Host, counted, with_files, with_gone, with_unread
from slurm_het.telemetry.pci import Card, normal_address
from slurm_het.vendors import load_vendors

A, B = (Card("nvidia", f"0000:{bus}:00.0") for bus in ("3b", "5e"))


def reading(index: int, address: str = "", **told: object) -> DeviceReading:
    return DeviceReading(index, "nvidia", address, **told)  # type: ignore[arg-type]


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A bus with two cards of NVIDIA, an Ascend, and Intel's graphics of a CPU."""
    devices = {
        "0000:5e:00.0": ("0x10de", "0x030200"),
        "0000:3b:00.0": ("0x10de", "0x030200"),
        "0000:3b:00.1": ("0x10de", "0x040300"),  # its sound
        "0000:81:00.0": ("0x19e5", "0x120000"),
        "0000:00:02.0": ("0x8086", "0x030000"),
    }
    for address, (vendor, kind) in devices.items():
        (tmp_path / address).mkdir()
        (tmp_path / address / "vendor").write_text(f"{vendor}\n")
        (tmp_path / address / "class").write_text(f"{kind}\n")
    return tmp_path


def host(sysfs: Path, script: str) -> Host:
    """A host whose children run this Python text, with the vendor as argument."""
    return Host(load_vendors(), sysfs, (sys.executable, "-c", script))


def test_without_an_answer_the_cards_on_the_bus_are_unhealthy(sysfs: Path) -> None:
    readings = host(sysfs, "raise SystemExit(1)").read(20)
    assert [(one.vendor, one.index, one.address) for one in readings] == [
        ("ascend", 0, "0000:81:00.0"),
        ("nvidia", 0, "0000:3b:00.0"),
        ("nvidia", 1, "0000:5e:00.0"),
    ]
    assert all("ended without an answer" in one.unhealthy for one in readings)


def test_a_driver_that_hangs_hangs_nobody(sysfs: Path) -> None:
    started = time.monotonic()
    readings = host(sysfs, "import time; time.sleep(60)").read(0.5)
    assert time.monotonic() - started < 5
    assert len(readings) == 3
    assert all("in time" in one.unhealthy for one in readings)


def test_a_driver_that_hangs_takes_no_time_from_another(sysfs: Path) -> None:
    script = (
        "import sys, time; sys.argv[1] == 'ascend' and time.sleep(60);"
        'print(\'{"devices": [{"index": 0, "vendor": "nvidia", "address": "0000:3b:00.0"}]}\')'
    )
    readings = {f"{one.vendor}:{one.index}": one for one in host(sysfs, script).read(2)}
    assert "in time" in readings["ascend:0"].unhealthy
    assert readings["nvidia:0"].healthy


def test_a_driver_that_cannot_even_be_killed_is_not_asked_again(
    sysfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    script = f"import time; open({str(started)!r}, 'a').write('x'); time.sleep(8)"
    monkeypatch.setattr("slurm_het.telemetry.host.kill", lambda _child: None)
    watched = host(sysfs, script)
    for _ in range(3):
        last = watched.read(1, ["nvidia"])
    assert all("hangs" in one.unhealthy for one in last)
    assert started.read_text() == "x"


def test_a_host_that_cannot_ask_says_nothing_of_its_devices(
    sysfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no process left for that; hetd counts the last reading, until it is too old."""
    watched = host(sysfs, "print('{}')")

    def refused(*_words: object, **_options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(HetError, match=r"cannot ask: .*temporarily unavailable"):
        watched.read(1)
    for error in (OSError(errno.EAGAIN, "no process"), RuntimeError("can't start new thread")):
        child = answer_of(monkeypatch, error)
        assert (child.asked, child.devices) == (False, ())
    assert answer_of(monkeypatch, OSError(errno.ENOENT, "no file")).asked


def answer_of(monkeypatch: pytest.MonkeyPatch, error: Exception) -> ChildAnswer:
    """What a child says whose probe fails so, as it is and behind a ProbeError."""

    def fail(_name: str, _vendor: str) -> None:
        raise ProbeError("rocm-smi: no") from error

    def fail_plainly(_name: str, _vendor: str) -> None:
        raise error

    answers = []
    for failing in (fail, fail_plainly):
        monkeypatch.setattr("slurm_het.telemetry.child.probe_named", failing)
        answers.append(answer("amd", ["rocm-smi"]))
    assert answers[0].asked is answers[1].asked
    return answers[0]


@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "import os; os._exit(1)"])
def test_a_driver_that_is_late_once_is_no_news(sysfs: Path, script: str) -> None:
    watched = Host(load_vendors(), sysfs, (sys.executable, "-c", script), patience=1)
    with pytest.raises(HetError, match="nvidia: "):
        watched.read(0.7, ["nvidia"])
    assert not any(one.healthy for one in watched.read(0.7, ["nvidia"]))
    assert len(watched.read(0.7, ["nvidia"])) == 2


def test_who_is_killed_takes_its_program_with_it(sysfs: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60']);"
        f"open({str(pid)!r} + sys.argv[1], 'w').write(str(p.pid)); p.wait()"
    )
    host(sysfs, script).read(2)
    killed = int((tmp_path / "pidnvidia").read_text())
    until = time.monotonic() + 5
    while _runs(killed) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(killed)


@pytest.mark.parametrize(
    "script",
    [
        "print('x' * 9_000_000)",
        'print(\'{"devices": [{"index": "one"}]}\')',
        "import sys; sys.stdout.buffer.write(b'\\xff\\x00')",
        "print('[' * 100000)",
    ],
)
def test_an_answer_that_cannot_be_read_is_none(sysfs: Path, script: str) -> None:
    readings = host(sysfs, script).read(20)
    assert len(readings) == 3
    assert not any(one.healthy for one in readings)


def test_a_card_that_goes_is_unhealthy_from_then_on(sysfs: Path) -> None:
    told = (
        "import sys; print('{\"devices\": [' + (sys.argv[1] == 'nvidia') * "
        '\'{"index": 0, "vendor": "nvidia", "address": "0000:3b:00.0"},'
        '{"index": 1, "vendor": "nvidia", "address": "0000:5e:00.0"}\' + "]}")'
    )
    watched = host(sysfs, told)
    assert [one.healthy for one in watched.read(20, ["nvidia"])] == [True, True]
    gone = reading(1, B.address, memory_total_mib=40960, memory_used_mib=3)
    now = with_gone((reading(0, A.address), gone), (reading(0, A.address),))
    assert [one.healthy for one in now] == [True, False]
    assert now[1].memory_total_mib == 40960
    assert now[1].memory_used_mib is None


def test_a_card_that_its_driver_does_not_tell_of_has_the_index_that_is_left() -> None:
    told = ChildAnswer((reading(1, B.address),))
    first, second = with_unread("nvidia", told, (A, B))
    assert (first.index, first.address, first.healthy) == (0, A.address, False)
    assert second.healthy


def test_render_nodes_decide_where_they_are_the_device_files(tmp_path: Path) -> None:
    """rocm-smi counts by PCI address; gres.conf's /dev/dri/renderD[128-129] by render node."""
    amd = load_vendors()["amd"]
    for address, node in (("0000:83:00.0", 129), ("0000:a3:00.0", 128)):
        (tmp_path / address / "drm" / f"renderD{node}").mkdir(parents=True)
        (tmp_path / address / "drm" / f"card{node - 127}").mkdir()
    told = (reading(0, "0000:83:00.0"), reading(1, "0000:a3:00.0"))
    now = counted(told, amd, tmp_path)
    assert [(one.index, one.address) for one in now] == [(0, "0000:a3:00.0"), (1, "0000:83:00.0")]
    assert counted(told, amd, tmp_path / "nowhere") == told
    assert counted(told, load_vendors()["nvidia"], tmp_path) == told


def test_where_one_is_lost_the_others_keep_their_indexes() -> None:
    before = (reading(0, "a"), reading(1, "b"), reading(2, "c"))
    now = counted((reading(0, "b"), reading(1, "c")), load_vendors()["ascend"], before=before)
    assert [(one.index, one.address) for one in now] == [(1, "b"), (2, "c")]
    assert [one.healthy for one in with_gone(before, now)] == [False, True, True]
    new = counted((reading(0, "b"), reading(1, "d")), load_vendors()["ascend"], before=before)
    assert [(one.index, one.address) for one in new] == [(0, "d"), (1, "b")]


def test_a_device_is_known_by_a_file_only_where_that_is_certain(tmp_path: Path) -> None:
    vendors = load_vendors()
    (tmp_path / "a" / "drm" / "renderD130").mkdir(parents=True)
    told = (reading(0, "a"), reading(1, "b"))
    silent = reading(2, "c", files=())
    for vendor, given, before, files in (
        ("amd", told, (), [("/dev/dri/renderD130",), ()]),
        ("ascend", told, (), [("/dev/davinci0",), ("/dev/davinci1",)]),
        ("ascend", (*told, silent), (), [(), (), ()]),  # it may count those anew
        ("ascend", (told[0], silent), (replace(silent, files=("x",)),), [(), ("x",)]),
        ("nvidia", (replace(told[0], files=("/dev/nvidia3",)), silent), (),
         [("/dev/nvidia3",), ()]),
    ):  # fmt: skip
        now = with_files(given, vendors[vendor], tmp_path, before)
        assert [one.files for one in now] == files


def test_a_die_that_is_lost_is_gone_though_another_has_its_address() -> None:
    before = (reading(0, "a"), reading(1, "a"), reading(2, "b"))
    now = with_gone(before, (reading(0, "a"), reading(2, "b")))
    assert [(one.index, one.healthy) for one in now] == [(0, True), (1, False), (2, True)]
    assert with_gone(before, before) == before


def test_readings_without_addresses_are_not_doubled() -> None:
    told = ChildAnswer((reading(0), reading(1)))
    assert with_unread("nvidia", told, (A, B)) == told.devices
    lost = ChildAnswer((reading(0, A.address), reading(1, unhealthy="lost")))
    assert with_unread("nvidia", lost, (A, B)) == lost.devices


@pytest.mark.parametrize(
    ("told", "normal"),
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("10000:3b:00.0", "10000:3b:00.0"),
        (" GPU-12 ", "GPU-12"),
        ("", ""),
    ],
)
def test_pci_addresses_are_written_as_sysfs_does(told: str, normal: str) -> None:
    assert normal_address(told) == normal


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (Path("/proc") / str(pid) / "stat").read_text().split()[2] != "Z"
