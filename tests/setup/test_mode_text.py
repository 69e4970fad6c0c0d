"""The mode of a pool in the text of het.yaml."""

from __future__ import annotations

import pytest

from slurm_het.config import parse_config
from slurm_het.errors import ConfigError
from slurm_het.setup.mode_text import with_modes, without_ours

TEXT = """\
# ours
intake_partition: gpu
mode: shadow   # for now
pools:
  nv: {scenario: training, vendors: [nvidia]}  # the large ones
  amd:
    # two nodes
    scenario: training
    vendors: [amd]
  npu: {mode: advise, scenario: training, vendors: [ascend]}
"""


def modes(text: str) -> dict[str, str]:
    return {pool.partition: pool.mode for pool in parse_config(text).policy.pools}


@pytest.mark.parametrize("pool", ["nv", "amd", "npu"])
def test_the_pool_has_the_mode_and_all_else_stays(pool: str) -> None:
    before = {"nv": "shadow", "amd": "shadow", "npu": "advise"}
    assert modes(TEXT) == before
    text = with_modes(TEXT, {pool: "plan"})
    assert modes(text) == before | {pool: "plan"}
    assert {"# ours", "# for now", "# the large ones", "# two nodes"} <= {
        line[line.index("#") :] for line in text.splitlines() if "#" in line
    }
    assert modes(with_modes(text, {pool: "shadow"})) == before | {pool: "shadow"}


def test_an_unknown_pool_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="no pool 'x'") as raised:
        with_modes(TEXT, {"x": "plan"})
    assert raised.value.hint == "it has: nv, amd, npu"


HEAD = "intake_partition: gpu\nmode: shadow\npools:\n"
BODY = "scenario: training, vendors: [nvidia]"
SHARED = {
    "a pool": f"  a: &nv {{{BODY}}}\n  b: *nv\n",
    "a mode that is named": f"  a: {{mode: &m shadow, {BODY}}}\n  b: {{mode: *m, {BODY}}}\n",
}


@pytest.mark.parametrize("pools", SHARED.values(), ids=SHARED.keys())
def test_a_mode_that_is_also_anothers_is_written_for_both_or_not_at_all(pools: str) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        with pytest.raises(ConfigError, match=f"het.yaml:4: .* of {one} is also that of {other}\n"):
            with_modes(HEAD + pools, {one: "plan"})
    text = with_modes(HEAD + pools, {"a": "plan", "b": "plan"})
    assert modes(text) == {"a": "plan", "b": "plan"}


@pytest.mark.parametrize(
    "pool",
    [
        "  a:\n    ? scenario\n    : training\n    vendors: [nvidia]\n",
        "  a:\n    ? scenario\n    : training\n    ? vendors\n    : [nvidia]\n",
    ],
)
def test_a_pool_into_which_no_mode_can_be_written_is_said_with_its_line(pool: str) -> None:
    with pytest.raises(ConfigError, match=r"het.yaml:5: a mode: cannot be written"):
        with_modes(HEAD + pool, {"a": "plan"})


def test_the_ends_of_lines_stay() -> None:
    text = with_modes(TEXT.replace("\n", "\r\n"), {"nv": "plan", "amd": "plan", "npu": "plan"})
    assert text.count("\r\n") == text.count("\n") == TEXT.count("\n") + 1


def test_the_way_back_leaves_what_others_have_written_since() -> None:
    ours = with_modes(TEXT, {"nv": "plan", "npu": "plan"})
    before = {"nv": "shadow", "npu": "advise"}
    assert without_ours(ours, ours, TEXT, {"nv": "shadow", "npu": "advise"}) == TEXT
    edited = ours.replace("# two nodes", "# three nodes")
    text = without_ours(edited, ours, TEXT, {"nv": "shadow", "npu": "advise"})
    assert "# three nodes" in text
    assert modes(text) == before | {"amd": "shadow"}
    with pytest.raises(ConfigError, match="no pool 'nv'"):
        without_ours(ours.replace("  nv:", "  nvidia:"), ours, TEXT, {"nv": "shadow"})
