"""The configuration: what is read, and messages that name the key, the line, the valid values."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.config import load_config, parse_config
from slurm_het.core.sign import PLACES
from slurm_het.errors import ConfigError
from slurm_het.settings import Config

BASE = """\
intake_partition: accel
pools:
  train: {scenario: training, vendors: [nvidia]}
"""


def test_the_least_configuration_has_the_defaults() -> None:
    config = parse_config(BASE)
    assert config == Config(policy=config.policy)
    assert config.policy.intake_partition == "accel"
    assert set(config.policy.gres) == {"gpu", "shard"}
    assert config.policy.gres["shard"].shared
    assert config.policy.types["h100"].memory_gib == 80
    assert config.policy.signs.rows
    assert not config.policy.rules


def test_a_site_type_is_laid_over_the_catalogue() -> None:
    types = parse_config(BASE + "types: {a100: {memory_gib: 80}, x9: {vendor: x, memory_gib: 8}}")
    assert types.policy.types["a100"].memory_gib == 80
    assert types.policy.types["a100"].vendor == "nvidia"
    assert types.policy.types["x9"].vendor == "x"


def test_site_signs_come_before_the_built_in_ones() -> None:
    text = "signs: [{name: mine, why: we say so, vendors: [amd], modules: [ours]}]"
    signs = parse_config(BASE + text).policy.signs.rows
    assert signs[0].name == "mine"
    assert len(signs) > 1


def test_each_built_in_sign_has_its_reason_and_something_to_look_for() -> None:
    for sign in parse_config(BASE).policy.signs.rows:
        assert sign.why
        assert any(getattr(sign, place) for place in PLACES), sign.name


def test_a_type_named_by_a_number_works_as_a_key_everywhere() -> None:
    policy = parse_config(
        BASE + "types: {4090: {vendor: nvidia, memory_gib: 24}}\npreference: {4090: -0.5}\n"
        "throughput: {inference: {4090: 1}}"
    ).policy
    assert policy.preference == {"4090": -0.5}
    assert policy.throughput == {"inference": {"4090": 1.0}}


@pytest.mark.parametrize(
    ("extra", "line", "parts"),
    [
        ("polls: {}", 4, ["polls", "did you mean 'pools'", "intake_partition"]),
        ("hook: {deadlin_ms: 5}", 4, ["hook.deadlin_ms", "did you mean 'deadline_ms'"]),
        ("hook:\n  on_failure: explode", 5, ["hook.on_failure", "intake, pass, hold, reject"]),
        ("hook: {deadline_ms: -1}", 4, ["hook.deadline_ms", "'-1'", ">= 1"]),
        ("hook: {deadline_ms: 60000}", 4, ["hook.deadline_ms", "<= 2000"]),
        ("hook: {deadline_ms: fast}", 4, ["hook.deadline_ms", "'fast'", "int"]),
        ("hook: {deadline_ms: yes}", 4, ["hook.deadline_ms", "int"]),
        ("hook: {breaker_failures: 0}", 4, ["hook.breaker_failures", ">= 1"]),
        ("planner: {solver: gurobi}", 4, ["planner.solver", "valid: highs, cbc"]),
        ("planner: {gap: .nan}", 4, ["planner.gap", "nan"]),
        ("planner: {deadline_seconds: .inf}", 4, ["planner.deadline_seconds", "<= 600"]),
        ("planner: {deadline_seconds: 1e9}", 4, ["planner.deadline_seconds", "1e9"]),
        ("planner: {poll_seconds: 0}", 4, ["planner.poll_seconds", ">= 0.05"]),
        ("planner: {poll_seconds: 31}", 4, ["planner.poll_seconds", "<= 30"]),
        ("planner: {window_tasks: 2.5}", 4, ["planner.window_tasks", "2.5"]),
        ("weights: {scarcity: -1}", 4, ["weights.scarcity", ">= 0"]),
        ("weights: {scarcity: .nan}", 4, ["weights.scarcity", "nan"]),
        ("weights: {scarcty: 1}", 4, ["scarcty", "did you mean 'scarcity'"]),
        ("default_scenario: serving", 4, ["default_scenario", "valid: training, inference"]),
        ("default_vendors: [nvidai]", 4, ["default_vendors", "did you mean 'nvidia'"]),
        ("default_vendors: nvidia", 4, ["default_vendors", "array"]),
        ("preference: {a100: 3}", 4, ["preference.a100", "<= 1"]),
        ("preference: {a1000: 1}", 4, ["preference", "did you mean 'a100'"]),
        ("throughput: {ResNet 50: {a100: 1}}", 4, ["throughput.ResNet 50", "is no class"]),
        ("throughput: {resnet: {a10O: 1}}", 4, ["throughput.resnet", "'a10O'"]),
        (
            "throughput: {rn: {a100: 1}}\nrules: [{name: r, job_class: rm}]",
            5,
            ["names 'rm'", "valid: rn"],
        ),
        ("throughput: {training: {a1o0: 1}}", 4, ["throughput.training", "'a1o0'"]),
        ("throughput: {training: {a100: 312}}", 4, ["throughput.training.a100", "<= 1"]),
        ("types: {new9: {vendor: x}}", 4, ["types.new9", "memory_gib", "not built in"]),
        ("types: {a100: {memory_gib: 0}}", 4, ["types.a100.memory_gib", ">= 1"]),
        ("types: {a100: {training: 2}}", 4, ["types.a100.training", "<= 1"]),
        ("types: {a100: {tflops: 0}}", 4, ["types.a100.tflops", "> 0"]),
        ("types: {a100: 80}", 4, ["types.a100", "is not a table"]),
        ("rules: {a: b}", 4, ["rules", "is a list of rules"]),
        ("rules: [{words: [x]}]", 4, ["rules[0]", "needs 'name'"]),
        ("rules: [{name: r, scenario: play}]", 4, ["scenario", "valid: training, inference"]),
        ("rules: [{name: r, vendors: [intle]}]", 4, ["rules[0].vendors", "did you mean 'intel'"]),
        ("rules: [{name: r, memory_gib: -4}]", 4, ["rules[0].memory_gib", ">= 0"]),
        ("gres: {npu: {alias_of: gpu}}", 4, ["gres.npu.alias_of", "'gpu'"]),
        ("gres: {gpu: {vendors: [acme]}}", 4, ["gres.gpu.vendors", "'acme'"]),
        ("slurm: {timeout_seconds: 0}", 4, ["slurm.timeout_seconds", ">= 0.1"]),
        ("slurm: {bin_dir: 3}", 4, ["slurm.bin_dir", "'3'"]),
        ("hook: {}\nhook: {}", 5, ["hook", "stands twice"]),
        ("? [a, b]\n: c", 4, ["key that is not a word"]),
        ("default_scenario: 2026-13-45", 4, ["default_scenario", "month"]),
        ("default_scenario: !!python/none x", 4, ["default_scenario", "cannot be read"]),
    ],
)
def test_a_mistake_is_named_with_its_key_line_and_the_valid_values(
    extra: str, line: int, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(BASE + extra, Path("site.yaml"))
    assert caught.value.message.startswith(f"site.yaml:{line}: ")
    for part in parts:
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "'intake_partition' is missing"),
        ("intake_partition: accel", "'pools' is missing"),
        ("intake_partition: accel\npools: {}", "names no pool"),
        ("intake_partition: accel\npools:", "names no pool"),
        ("intake_partition: a b\npools: {p: {scenario: training, vendors: [amd]}}", "partition's"),
        (
            "intake_partition: p\npools: {p: {scenario: training, vendors: [amd]}}",
            "one of the pools",
        ),
        (
            "intake_partition: a\npools: {'p,q': {scenario: training, vendors: [amd]}}",
            "partition's",
        ),
        ("intake_partition: a\npools: {p: {vendors: [amd]}}", "needs 'scenario'"),
        ("- a", "is not a table"),
        ("a: [", "is not YAML"),
        ("a: 1\n- b\n", "config:2 is not YAML: expected <block end>, but found '-'"),
        ("\x00", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("# " + "x" * (4 << 20), "at most"),
    ],
)
def test_files_that_are_no_configuration(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert part in str(caught.value)
    assert "\n" not in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "binary.yaml")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "het.yaml").write_text(BASE)
    monkeypatch.setenv("HET_CONFIG", str(tmp_path / "het.yaml"))
    assert load_config().source == tmp_path / "het.yaml"


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    for candidate in (text, BASE + text):
        with contextlib.suppress(ConfigError):
            parse_config(candidate)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paths: {hook_socket: run/hook.sock}", "paths.hook_socket run/hook.sock is not absolute"),
        (f"paths: {{event_socket: /{'x' * 107}}}", "paths.event_socket has more than 107 bytes"),
        ("intake_partition: a\npools: {t: {scenario: training, vendors: []}}",
         "pools.t.vendors names none; valid: amd, "),
    ],
)  # fmt: skip
def test_what_could_never_work_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text if "pools" in text else BASE + text)
    assert said in refused.value.message
    assert parse_config(f"{BASE}paths: {{control_socket: /{'x' * 106}}}")
