"""The vendors' profiles: complete, reviewed figure by figure, and a site's files over them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from slurm_het.core.catalog import Catalog
from slurm_het.errors import ConfigError
from slurm_het.telemetry.probes import MODULES
from slurm_het.vendors import Vendor, catalogue, load_vendors
from slurm_het.vendors.profile import SLURM_SETS, ModelFacts

ROOT = Path(__file__).parents[2]
VENDORS = load_vendors()
TWELVE = {
    "nvidia", "amd", "intel", "habana", "ascend", "cambricon", "hygon", "moorethreads",
    "iluvatar", "metax", "enflame", "kunlunxin",
}  # fmt: skip
FIGURES = set(ModelFacts.__struct_fields__) | {"pci", "devices", "environment", "exporter"}


def test_all_twelve_are_there_and_each_type_is_of_one() -> None:
    assert set(VENDORS) == TWELVE
    names = Counter(name for vendor in VENDORS.values() for name in vendor.types)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(catalogue(VENDORS)) == sum(names.values()) > 110


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))
def test_what_has_no_source_is_marked(vendor: Vendor) -> None:
    """Where a profile names no source every figure is unverified."""
    marked = {*vendor.unverified, *(f for facts in vendor.types.values() for f in facts.unverified)}
    assert marked <= FIGURES
    if not vendor.sources:
        assert vendor.unverified
    assert vendor.environment.visible
    assert vendor.pci.ids
    assert set(vendor.probes) <= set(MODULES)
    assert vendor.environment.slurm_flag in SLURM_SETS


def test_dies_are_counted_not_cards() -> None:
    dies = {n: f.dies for v in VENDORS.values() for n, f in v.types.items() if f.dies > 1}
    assert dies == {"mi250": 2, "mi250x": 2, "max1550": 2, "910c": 2}
    assert [n for n, f in VENDORS["ascend"].types.items() if f.whole_cards] == ["910c"]
    assert Catalog(catalogue(VENDORS))["mi250x"].memory_gib == 64


def test_a_sites_file_is_laid_over(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(
        "devices: {each: '/dev/fake/gpu{}'}\ntypes: {a100: {memory_gib: 80}}\n"
    )
    (tmp_path / "acme.yaml").write_text(
        "{name: Acme, pci: {ids: ['abcd']}, devices: {each: '/dev/acme{}'},"
        "environment: {slurm_flag: opencl_env, visible: [ACME_DEVICES]},"
        "types: {x1: {memory_gib: 8, training: 1, inference: 1, tflops: 10}}}"
    )
    vendors = load_vendors(tmp_path)
    assert set(vendors) == TWELVE | {"acme"}
    nvidia = vendors["nvidia"]
    assert nvidia.types["a100"].memory_gib == 80
    assert nvidia.types["a100"].tflops == 312
    assert nvidia.types["h100"] == VENDORS["nvidia"].types["h100"]
    assert nvidia.devices.each == "/dev/fake/gpu{}"
    assert nvidia.devices.common == VENDORS["nvidia"].devices.common
    assert catalogue(vendors)["x1"].vendor == "acme"


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert load_vendors(tmp_path / "none") == VENDORS


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("types: {a100: {memory: 80}}", "memory"),
        ("typos: {}", "typos"),
        ("[1, 2]", "is no mapping"),
        ("a: [", "cannot read"),
        ("devices: {each: '/etc/passwd{}'}", "cannot be written"),
        ("environment: {visible: ['A=1; reboot']}", "cannot be written"),
        ("types: {q1: {memory_gib: 8}}", "training"),
        ("types: {a100: {memory_gib: -5}}", "memory_gib"),
        ("types: {a100: {training: 7}}", "training"),
        ("environment: {slurm_flag: all}", "slurm_flag"),
        ("vendor: amd\nname: 5", "name"),
        ("- &a [*a]", "is no mapping"),
    ],
)
def test_a_mistake_names_the_file_and_the_place(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "nvidia.yaml").write_text(text)
    with pytest.raises(ConfigError, match=what) as caught:
        load_vendors(tmp_path)
    assert "nvidia.yaml" in str(caught.value)


def test_the_page_of_the_vendors_says_what_the_profiles_say() -> None:
    page = (ROOT / "docs" / "vendors.md").read_text()
    missing = [row for row in map(_row, VENDORS.values()) if row not in page]
    assert not missing, "\n".join(["put these rows into docs/vendors.md:", *missing])


def _row(vendor: Vendor) -> str:
    env = vendor.environment
    names = [*env.visible, *(f"{name}={value}" for name, value in env.fixed.items())]
    cells = (
        f"{vendor.name} (`{vendor.vendor}`)", ", ".join(("gpu", *vendor.gres)), env.slurm_flag,
        ", ".join(names), vendor.devices.each.replace("{}", "N"), ", ".join(vendor.probes) or "–",
        ", ".join(vendor.unverified) or "–",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
