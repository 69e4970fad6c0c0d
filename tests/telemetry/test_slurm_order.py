"""Which of Slurm's devices a device is: by what `slurmd -G` of 22.05, 24.11 and 26.05 prints."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from slurm_het.core.cluster.ailing import SlurmPlace
from slurm_het.errors import HetError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.slurm_order import SlurmOrder, order_of, placed

LEAD = {"22.05": "slurmd: ", "24.11": "slurmd: ", "26.05": "[2026-11-30T23:20:55.147] "}
TAIL = {"22.05": "", "24.11": " Flags=HAS_FILE,HAS_TYPE", "26.05": " Flags=HAS_FILE,HAS_TYPE"}
NVML = """\
error: _set_gres_device_desc: stat(/dev/nvidia2): No such file or directory
Gres Name=gpu Type=a100 Count=1 Index=2 ID=7696487 File=/dev/nvidia2 Cores=0-1 CoreCnt=2 Links=-1,4
Gres Name=gpu Type=a100 Count=1 Index=0 ID=7696487 File=/dev/nvidia0 Cores=0-1 CoreCnt=2 Links=4,-1
"""
MIG = """\
Gres Name=gpu Type=3g.20gb Count=1 Index=21 ID=7696487 File=/dev/nvidia0,/dev/nvidia-caps/nvidia-cap21,/dev/nvidia-caps/nvidia-cap22 Cores=0-1 CoreCnt=2 Links=-1,0
Gres Name=gpu Type=3g.20gb Count=1 Index=156 ID=7696487 File=/dev/nvidia1,/dev/nvidia-caps/nvidia-cap156,/dev/nvidia-caps/nvidia-cap157 Cores=0-1 CoreCnt=2 Links=-1,0
Gres Name=gpu Type=3g.20gb Count=1 Index=30 ID=7696487 File=/dev/nvidia0,/dev/nvidia-caps/nvidia-cap30,/dev/nvidia-caps/nvidia-cap31 Cores=0-1 CoreCnt=2 Links=0,-1
"""  # noqa: E501
FILES = """\
_read_slurm_cgroup_conf: No cgroup.conf file (/etc/slurm/cgroup.conf), using defaults
Gres Name=npu Type=(null) Count=3 Index=0 ID=7696494 File=/dev/davinci[0-1,5] Links=(null)
Gres Name=shard Type=a100 Count=100 Index=1 ID=1918986455 File=/dev/nvidia1 Links=(null)
Gres Name=gpu Type=a100 Count=1 Index=1 ID=7696487 File=/dev/nvidia1 Links=(null)
Gres Name=shard Type=a100 Count=100 Index=0 ID=1918986455 File=/dev/nvidia0 Links=(null)
Gres Name=gpu Type=a100 Count=1 Index=0 ID=7696487 File=/dev/nvidia0 Links=(null)
Gres Name=fpga Type=x Count=4 Index=-1 ID=7 File=(null) Links=(null)
"""


def printed(lines: str, version: str) -> str:
    return "".join(f"{LEAD[version]}{line}{TAIL[version]}\n" for line in lines.splitlines())


def card(*files: str) -> DeviceReading:
    return DeviceReading(0, "nvidia", files=files)


@pytest.mark.parametrize("version", LEAD)
@pytest.mark.parametrize(
    ("lines", "order"),
    [
        (NVML, {"gpu": [{"/dev/nvidia2"}, {"/dev/nvidia0"}]}),
        (MIG, {"gpu": [
            {"/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap21", "/dev/nvidia-caps/nvidia-cap22"},
            {"/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap156", "/dev/nvidia-caps/nvidia-cap157"},
            {"/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"},
        ]}),
        (FILES, {"npu": [{"/dev/davinci0"}, {"/dev/davinci1"}, {"/dev/davinci5"}],
                 "gpu": [{"/dev/nvidia1"}, {"/dev/nvidia0"}]}),
        ("", {}),
    ],
)  # fmt: skip
def test_the_order_is_read(version: str, lines: str, order: dict[str, list[set[str]]]) -> None:
    read = order_of(printed(lines, version))
    assert {name: list(map(set, those)) for name, those in read.items()} == order


@pytest.mark.parametrize("file", ["/dev/nvidia[0-2]", "/dev/nvidia[0-", "/dev/nvidia[x]"])
def test_files_that_cannot_be_counted_are_an_error(file: str) -> None:
    with pytest.raises(HetError):
        order_of(f"slurmd: Gres Name=gpu Type=a Count=2 ID=1 File={file} (null)\n")


@pytest.mark.parametrize(
    ("cards", "places"),
    [
        (["/dev/nvidia0", "/dev/nvidia2"], [1, 0]),
        (["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2"], [1, None, 0]),  # one has a screen
        (["/dev/nvidia2", ""], [0, 1]),  # what is lost is the one that is left
        (["", "/dev/nvidia1", "/dev/nvidia0"], [0, None, 1]),
        (["", ""], [None, None]),
        (["/dev/nvidia0", "", ""], [1, None, None]),
        (["/dev/nvidia0", "/dev/nvidia2", ""], [1, 0, None]),
    ],
)
def test_a_device_is_the_one_with_its_file(cards: list[str], places: list[int | None]) -> None:
    told = [frozenset(filter(None, [file])) for file in cards]
    found = placed(told, order_of(NVML))
    assert found == [None if p is None else SlurmPlace("gpu", p, 2) for p in places]


class Slurmd:
    """What is asked in the place of slurmd, at a time that the test sets."""

    def __init__(self, base: Path) -> None:
        self.says, self.asked, self.now = base / "says", base / "asked", 0.0
        self.script = base / "slurmd"
        self.script.write_text(
            f"#!/bin/sh\necho x >> {self.asked}\ncat {self.says} >&2 && exit 0\nexit 3\n"
        )
        self.script.chmod(0o755)
        self.order = SlurmOrder(f"{self.script} -G", lambda: self.now)

    def places(self, *files: str) -> list[int | None]:
        found = self.order.places([card(file) for file in files])
        return [None if place is None else place.index for place in found]

    @property
    def times(self) -> int:
        return len(self.asked.read_text().split()) if self.asked.exists() else 0


def test_it_is_asked_once_and_after_changes(tmp_path: Path) -> None:
    slurmd = Slurmd(tmp_path)
    slurmd.says.write_text(NVML)
    for _ in range(3):
        assert slurmd.places("/dev/nvidia0", "/dev/nvidia2") == [1, 0]
        slurmd.now += 5
    assert slurmd.times == 1
    assert slurmd.places("/dev/nvidia0", "/dev/nvidia2", "/dev/nvidia9") == [1, 0, None]
    assert slurmd.places("/dev/nvidia9") == [None]
    assert slurmd.times == 2
    slurmd.says.write_text("\n".join(reversed(NVML.splitlines())))
    slurmd.now += 700  # gres.conf has changed
    assert slurmd.places("/dev/nvidia0", "/dev/nvidia2") == [0, 1]
    assert slurmd.times == 3


def test_who_is_lost_keeps_the_place_that_slurm_still_has_for_it(tmp_path: Path) -> None:
    slurmd = Slurmd(tmp_path)
    slurmd.says.write_text(NVML)
    slurmd.places("/dev/nvidia0", "/dev/nvidia2")
    slurmd.says.write_text(NVML.splitlines()[2] + "\n")  # AutoDetect finds it no more
    slurmd.now += 700
    assert slurmd.places("/dev/nvidia0", "/dev/nvidia2") == [1, 0]
    assert slurmd.times == 2
    assert SlurmOrder(f"cat {slurmd.says}").places([card("/dev/nvidia0")]) == [
        SlurmPlace("gpu", 0, 1)  # hetd knows that Slurm has two
    ]


@pytest.mark.parametrize("command", ["/nowhere/slurmd -G", "false", "true", "", "echo Gres"])
def test_who_is_absent_or_says_nothing_tells_no_place(command: str) -> None:
    assert SlurmOrder(command).places([card("/dev/nvidia0")]) == [None]


def test_a_word_that_fails_for_a_while_leaves_the_last_one(tmp_path: Path) -> None:
    slurmd = Slurmd(tmp_path)
    assert slurmd.places("/dev/nvidia0") == [None]
    slurmd.says.write_text(NVML)
    slurmd.now += 30
    assert slurmd.places("/dev/nvidia0") == [None], "not asked again so soon"
    slurmd.now += 60
    assert slurmd.places("/dev/nvidia0") == [1]
    slurmd.says.unlink()
    slurmd.now += 700
    assert slurmd.places("/dev/nvidia0") == [1]
    assert slurmd.times == 3


def test_one_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_het.telemetry.slurm_order.SECONDS", 0.3)
    began = time.monotonic()
    order = SlurmOrder(f"{sys.executable} -c 'import time; time.sleep(60)'")
    assert order.places([card("/dev/nvidia0")]) == [None]
    assert time.monotonic() - began < 10
