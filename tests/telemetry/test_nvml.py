"""NVIDIA's devices, read from what NVML told of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slurm_het.errors import ProbeError
from slurm_het.telemetry.child import tidy
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.probes.nvml import Nvml
from tests.support.fake_nvml import FakeNvml, NvmlError

CAPTURED = Path(__file__).parents[1] / "data" / "devices" / "nvidia-a5000.json"


@pytest.fixture
def cards() -> list[dict[str, Any]]:
    """Two RTX A5000; the one with the lower PCI address is /dev/nvidia1."""
    found: list[dict[str, Any]] = json.loads(CAPTURED.read_text())["devices"]
    return found


def test_every_field_is_read(cards: list[dict[str, Any]]) -> None:
    first, second = Nvml(FakeNvml(*cards)).read()
    assert second == DeviceReading(
        1, "nvidia", "0000:81:00.0", "NVIDIA RTX A5000", 24564, 22437,
        (DeviceProcess(100477, 22430),), 0.0, files=("/dev/nvidia1",),
    )  # fmt: skip
    assert (first.index, first.memory_used_mib, first.processes) == (0, 17253, ())
    assert first.healthy


def test_devices_are_counted_by_their_files_not_by_their_pci_addresses(
    cards: list[dict[str, Any]],
) -> None:
    """Slurm's `File=/dev/nvidia[0-1]` counts minor numbers, NVML counts PCI addresses."""
    readings = Nvml(FakeNvml(*cards)).read()
    assert [(one.index, one.address) for one in readings] == [
        (0, "0000:c1:00.0"),
        (1, "0000:81:00.0"),
    ]


def test_a_lost_card_is_there_and_unhealthy(cards: list[dict[str, Any]]) -> None:
    lost = {"lost": "GPU is lost"}
    readings = Nvml(FakeNvml(lost, cards[1])).read()
    assert [(one.index, one.healthy) for one in readings] == [(0, True), (1, False)]
    assert "GPU is lost" in readings[1].unhealthy


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"recovery": 1}, "needs a reset"),
        ({"recovery": 2}, "reboot"),
        ({"rows": [1, 9, 0, 1]}, "no spare rows"),
        ({"total_mib": NvmlError("Unknown Error")}, "cannot read it: Unknown Error"),
    ],
)
def test_why_a_card_is_unhealthy(
    cards: list[dict[str, Any]], told: dict[str, Any], why: str
) -> None:
    reading = Nvml(FakeNvml(cards[1] | told)).read()[0]
    assert why in reading.unhealthy


def test_what_an_old_driver_does_not_tell_is_unknown() -> None:
    """A Kepler tells neither utilization nor remapped rows, and only the first form of memory."""
    library = FakeNvml({"minor": 0, "total_mib": 4742, "used_mib": 10, "reserved_mib": 3})
    del FakeNvml.nvmlMemory_v2
    try:
        reading = Nvml(library).read()[0]
    finally:
        FakeNvml.nvmlMemory_v2 = 0x02000028
    assert (reading.memory_used_mib, reading.utilization, reading.address) == (13, None, "")
    assert reading.healthy


def test_a_device_that_shares_its_cpus_memory_is_well() -> None:
    reading = Nvml(FakeNvml({"minor": 0, "name": "NVIDIA GB10"})).read()[0]
    assert (reading.memory_total_mib, reading.healthy) == (None, True)


def test_slices_are_devices_of_their_own(cards: list[dict[str, Any]], tmp_path: Path) -> None:
    """Their files are those that Slurm's own NVML plugin lists, by the same file of the driver."""
    part = {"name": "A100 MIG 3g.20gb", "total_mib": 20000, "gi": 1, "ci": 0}
    one, two = part | {"used_mib": 0}, part | {"used_mib": 100, "gi": 2}
    untold = part | {"used_mib": 5, "gi": 9}
    minors = tmp_path / "mig-minors"
    minors.write_text(
        "config 1\nmonitor 2\ngpu0/gi1/access 21\ngpu0/gi1/ci0/access 22\n"
        "gpu1/gi1/access 156\ngpu1/gi1/ci0/access 157\ngpu1/gi2/access 165\n"
        "gpu1/gi2/ci0/access 166\nx\ngpu1/gi9/access y\n"
    )
    library = FakeNvml(cards[0] | {"slices": [one, two, untold]}, cards[1])
    readings = Nvml(library, minors).read()
    assert [(one.index, one.address, one.model, one.files) for one in readings] == [
        (0, "0000:c1:00.0", "NVIDIA RTX A5000", ("/dev/nvidia0",)),
        *((n, "0000:81:00.0", "A100 MIG 3g.20gb", files) for n, files in (
            (1, ("/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap156",
                 "/dev/nvidia-caps/nvidia-cap157")),
            (2, ("/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap165",
                 "/dev/nvidia-caps/nvidia-cap166")),
            (3, ()),
        )),
    ]  # fmt: skip


def test_without_a_driver_it_says_so() -> None:
    class Driverless(FakeNvml):
        def nvmlInit(self) -> None:
            raise NvmlError("Driver Not Loaded")

    with pytest.raises(ProbeError, match="Driver Not Loaded"):
        Nvml(Driverless()).read()


UNTOLD = NvmlError("Unknown Error")


@pytest.mark.parametrize(
    ("what", "odd"),
    [
        ("minor", (1 << 32) - 1), ("minor", UNTOLD), ("total_mib", 0), ("total_mib", 1 << 43),
        ("total_mib", UNTOLD), ("used_mib", 1 << 43), ("used_mib", UNTOLD), ("busId", b"\xff\x00"),
        ("busId", "x" * 5000), ("busId", UNTOLD), ("name", "\x1b[2J"), ("name", b"\xff" * 5000),
        ("name", UNTOLD), ("compute", [{"pid": (1 << 32) - 1, "used_mib": 1 << 43}]),
    ],
)  # fmt: skip
def test_nonsense_of_one_card_leaves_the_other_alone(
    cards: list[dict[str, Any]], what: str, odd: Any
) -> None:
    """Of any type that NVML's C library gives."""
    readings = [tidy(one) for one in Nvml(FakeNvml(cards[0] | {what: odd}, cards[1])).read()]
    assert sorted(one.index for one in readings) == [0, 1]
    assert any((one.memory_total_mib, one.healthy) == (24564, True) for one in readings)
    for one in readings:
        assert all(len(text) <= 200 and text.isprintable() for text in (one.address, one.model))
        amounts = one.memory_total_mib, one.memory_used_mib
        assert all(mib is None or 0 <= mib <= 1 << 30 for mib in amounts)
