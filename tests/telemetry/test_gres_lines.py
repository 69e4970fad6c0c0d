"""A host's lines of gres.conf, from what its devices say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_het.core.catalog import Catalog
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.gres_lines import gres_lines, type_of
from slurm_het.vendors import catalogue, load_vendors

VENDORS = load_vendors()
TYPES = Catalog(catalogue(VENDORS))


@pytest.mark.parametrize(
    ("vendor", "model", "mib", "expected"),
    [
        ("nvidia", "NVIDIA RTX A5000", 24564, "rtxa5000"),
        ("nvidia", "NVIDIA A100-SXM4-80GB", 81920, "a100-80gb"),
        ("nvidia", "NVIDIA A100-SXM4-40GB", 40960, "a100"),
        ("nvidia", "NVIDIA H100 80GB HBM3", 81559, "h100"),
        ("nvidia", "NVIDIA H200", 143771, "h200"),
        ("nvidia", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19968, "3g.20gb"),
        ("nvidia", "Tesla T4", 15360, "t4"),
        ("amd", "Arcturus GL-XL [Instinct MI100]", 32752, "mi100"),
        ("amd", "AMD Instinct MI300X", 196592, "mi300x"),
        ("intel", "Intel(R) Data Center GPU Max 1100", 49136, "max1100"),
        ("habana", "HL-225", 98304, "gaudi2"),
        ("ascend", "910B3", 65536, "910b3"),
        ("ascend", "910B4-1", 65536, "910b4-1"),
        ("ascend", "310P3", 21527, "310p"),
        ("ascend", "310P3", 44278, "310p-43gb"),
        ("cambricon", "MLU370-X4", 23308, "mlu370-23gb"),
        ("moorethreads", "MTT S4000", 49152, "s4000"),
        ("amd", "NVIDIA H100", 81559, ""),
        ("hygon", "BW", 65520, ""),
        ("nvidia", "", None, ""),
        ("nvidia", "x" * 5000, None, ""),
        ("nvidia", "A100\nNodeName=evil", 40960, "a100"),
    ],
)
def test_the_type_that_a_driver_means(
    vendor: str, model: str, mib: int | None, expected: str
) -> None:
    reading = DeviceReading(0, vendor, model=model, memory_total_mib=mib)
    assert type_of(reading, TYPES) == expected


def test_lines_of_a_host_of_two_vendors(tmp_path: Path) -> None:
    """NVIDIA's cards have render nodes too, so AMD's do not begin at 128."""
    (tmp_path / "0000:c1:00.0" / "drm" / "renderD130").mkdir(parents=True)
    readings = [
        DeviceReading(0, "nvidia", "0000:01:00.0", "NVIDIA H100 80GB HBM3", 81559),
        DeviceReading(1, "nvidia", "0000:02:00.0", "NVIDIA H100 80GB HBM3", 81559),
        DeviceReading(2, "nvidia", "0000:03:00.0", unhealthy="its driver does not tell of it"),
        DeviceReading(0, "amd", "0000:c1:00.0", "AMD Instinct MI300X", 196592),
    ]
    assert gres_lines("n1", readings, VENDORS, tmp_path) == [
        "NodeName=n1 Name=gpu Type=h100 File=/dev/nvidia[0-1] Flags=opencl_env",
        "NodeName=n1 Name=gpu Type=mi300x File=/dev/dri/renderD130 Flags=opencl_env",
        "# /dev/nvidia2: no type is known for it (its driver does not tell of it)",
    ]


def test_slices_are_left_to_nvml_and_no_device_is_no_line() -> None:
    sliced = DeviceReading(0, "nvidia", model="NVIDIA H100 MIG 1g.10gb", memory_total_mib=9856)
    assert gres_lines("n1", [sliced], VENDORS) == ["NodeName=n1 AutoDetect=nvml"]
    assert gres_lines("n1", [], VENDORS) == []
