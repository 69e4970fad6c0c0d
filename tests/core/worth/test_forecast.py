"""The jobs a site expects, and what they make of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slurm_het.config import parse_config
from slurm_het.core.model import Slot, Task
from slurm_het.core.worth.forecast import (
    BESIDE_MOST,
    MOST,
    Forecast,
    forecast,
    given,
)
from slurm_het.core.worth.profiles import TaskProfile, profile_of
from slurm_het.errors import ConfigError
from slurm_het.journal import Journal
from tests.support.asked import asked
from tests.support.world import task

BOTH = ("infer-nv", "train-nv")
A100 = TaskProfile(("a100",), ("train-nv",))
EITHER = TaskProfile(("a100", "l40s"), BOTH)
BESIDE = TaskProfile(("a100", "l40s"), BOTH, 0, memory_mib=1024)


def either(key: str = "1", **fields: Any) -> Task:
    """A task that may use an A100 or an L40S."""
    return task(key, types=frozenset({"a100", "l40s"}), pools=BOTH, **fields)


def test_what_a_task_asks() -> None:
    asked = profile_of(either(slots=(Slot(1, 2, 10), Slot(4, 8, 20)), memory_gib=40))
    assert asked == TaskProfile(("a100", "l40s"), BOTH, 4, 2, 40, False, 8, 20)
    assert profile_of(either("2", user="eve", priority=3)) == profile_of(either())


def test_nothing_known_says_nothing() -> None:
    assert not forecast({})
    assert not Forecast()


def test_many_profiles_are_cut_to_the_heaviest() -> None:
    weights = {A100._replace(cpus=n): float(n) for n in range(2 * MOST)}
    kept = forecast(weights).weights
    assert len(kept) == MOST
    assert min(kept.values()) == MOST


def test_jobs_without_devices_crowd_nothing_out(tmp_path: Path) -> None:
    """However many sizes they have and however long they are: profiles with devices stay."""
    beside = {BESIDE._replace(memory_mib=n): 1000.0 + n for n in range(2 * MOST)}
    kept = forecast({**beside, A100._replace(devices=8): 1.0}).weights
    assert A100._replace(devices=8) in kept
    assert len(kept) == BESIDE_MOST + 1
    journal = Journal(tmp_path / "journal.db")
    journal.add_demands(100.0, beside)
    journal.record_demands(100.0, [("1", A100, 1.0)])
    assert A100 in asked(journal)
    assert len(asked(journal)) == MOST + 1
    journal.close()


CONFIG = """
intake_partition: accel
pools: {train-nv: {scenario: training, vendors: [nvidia]}}
expected_jobs:
  - {share: 3, devices: 8, types: [a100]}
  - {share: 1, memory_gib: 10, shared: true}
"""


def test_given_in_the_config() -> None:
    weights = given(parse_config(CONFIG).policy)
    assert weights[TaskProfile(("a100",), ("train-nv",), 8)] == 3 / 8
    assert len(weights) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{share: 1, types: [a10O]}", ["expected_jobs[0].types", "a100"]),
        ("{share: 1, pools: [train]}", ["expected_jobs[0].pools", "train-nv"]),
        ("{share: 0}", ["expected_jobs[0].share", "more than 0"]),
        ("{share: 1, shared: true}", ["expected_jobs[0].memory_gib"]),
        ("{devices: 1}", ["share"]),
    ],
)
def test_mistakes_in_the_config_are_named(line: str, words: list[str]) -> None:
    text = CONFIG.split("  - {share: 3", maxsplit=1)[0] + f"  - {line}\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_journal_learns_what_is_asked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.record_demands(100.0, [("1", A100, 60), ("2", A100, 30), ("3", EITHER, 10)])
    journal.record_demands(200.0, [("1", A100, 50)])
    assert asked(journal) == {A100: 80.0, EITHER: 10.0}
    assert asked(journal, 150.0) == {}, "who waits still has not come anew"
    journal.close()
