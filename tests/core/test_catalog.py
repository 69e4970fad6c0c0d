"""What a device type's name says, as sites and NVML spell it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.config import parse_config

TYPES = parse_config(
    "intake_partition: accel\npools: {t: {scenario: training, vendors: [nvidia]}}\n"
).policy.types


@pytest.mark.parametrize(
    ("name", "vendor", "gib"),
    [
        ("a100", "nvidia", 40), ("A100", "nvidia", 40), ("a100-80", "nvidia", 80),
        ("nvidia_a100-sxm4-80gb", "nvidia", 80), ("nvidia_a100_80gb_pcie", "nvidia", 80),
        ("tesla_v100-sxm2-16gb", "nvidia", 16), ("v100-32g", "nvidia", 32),
        ("teslat4", "nvidia", 16), ("NVIDIA-A40", "nvidia", 48), ("nvidia_l40s", "nvidia", 48),
        ("rtx_3090", "nvidia", 24), ("GeForceRTX3090", "nvidia", 24), ("3090", "nvidia", 24),
        ("nvidia_geforce_rtx_2080_ti", "nvidia", 11), ("titanxpascal", "nvidia", 12),
        ("quadro_rtx_6000", "nvidia", 24), ("nvidia_rtx_a6000", "nvidia", 48),
        ("nvidia_rtx_6000_ada_generation", "nvidia", 48), ("gtx1080ti", "nvidia", 11),
        ("nvidia_gh200_144g_hbm3e", "nvidia", 144), ("nvidia_gh200_480gb", "nvidia", 96),
        ("nvidia_a100-pg509-200", "nvidia", 40), ("v100_16", "nvidia", 16),
        ("amd_instinct_mi210", "amd", 64),
        ("mi300a", "amd", 128), ("HL-225", "habana", 96), ("pvc", "intel", 64),
        ("pvc128g", "intel", 128), ("a10080gb", "nvidia", 80), ("v10032g", "nvidia", 32),
        # Slices: the memory is the name's, also where it does not tell the model.
        ("1g.10gb", "nvidia", 10), ("a100_1g.5gb", "nvidia", 5),
        ("nvidia_a100_1g.10gb", "nvidia", 10), ("nvidia_h100_80gb_pcie_3g.40gb", "nvidia", 40),
        ("nvidia_h100_80gb_hbm3_1g.10gb+me", "nvidia", 10), ("7g.80gb", "nvidia", 80),
    ],
)  # fmt: skip
def test_a_name_is_read_by_its_parts(name: str, vendor: str, gib: int) -> None:
    known = TYPES[name]
    assert (known.name, known.vendor, known.memory_gib) == (name, vendor, gib)


@pytest.mark.parametrize("name", ["a100_2", "tesla", "gpu", "xyz", "", "8g.10gb", "0g.5gb", "12"])
def test_a_name_that_says_nothing_is_unknown(name: str) -> None:
    assert TYPES.get(name) is None


@pytest.mark.parametrize(
    ("asked", "name", "means"),
    [
        ("a100", "nvidia_a100-sxm4-80gb", True), ("a100", "a100", True),
        ("nvidia_a100", "a100-sxm4-40gb", True), ("A100-80gb", "nvidia_a100_80gb_pcie", True),
        ("a100-40gb", "nvidia_a100_80gb_pcie", False), ("a100", "nvidia_a100_3g.40gb", False),
        ("3g.40gb", "nvidia_a100_3g.40gb", True), ("a100_3g.40gb", "h100_3g.40gb", False),
        ("rtx6000", "nvidia_rtx_6000_ada_generation", False), ("a100", "h100", False),
        ("mystery", "mystery", True), ("mystery", "a100", False), ("a100", "mystery", False),
    ],
)  # fmt: skip
def test_who_asks_for_a_model_means_each_spelling_of_it(asked: str, name: str, means: bool) -> None:
    assert TYPES.means(asked, name) is means


def test_a_slice_has_its_part_of_the_speed() -> None:
    assert TYPES["nvidia_a100_3g.20gb"].tflops == pytest.approx(TYPES["a100"].tflops * 3 / 7)


def test_iterating_gives_the_models_alone() -> None:
    assert TYPES["nvidia_a100-sxm4-80gb"]
    assert "nvidia_a100-sxm4-80gb" not in set(TYPES)


@given(st.text(max_size=200))
def test_any_text_is_a_name(name: str) -> None:
    known = TYPES.get(name)
    assert known is None or known.memory_gib > 0
