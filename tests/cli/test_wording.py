"""The codes of reasons, and a site's own words for them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from slurm_het.cli.wording import load_wording, reworded
from slurm_het.core import reasons
from slurm_het.core.reasons.codes import ACTIONS, code_of_word
from slurm_het.errors import HetError
from tests.support.squeue_cluster import running, view, waiting

DOCS = Path(__file__).parents[2] / "docs" / "operators.md"


def test_at_most_twenty_codes_and_each_is_documented() -> None:
    assert len(ACTIONS) <= 20
    text = DOCS.read_text()
    assert [code for code in ACTIONS if f"| {code} |" not in text] == []


def test_each_reason_has_a_code() -> None:
    from slurm_het.core.reasons.codes import _OF_REASONS as OF_REASONS

    classes = [c for c in vars(reasons).values() if inspect.isclass(c) and hasattr(c, "code")]
    known = {c.code for c in classes}
    assert set(OF_REASONS) <= known
    assert set(OF_REASONS.values()) <= set(ACTIONS)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("JobHeldUser", "held"), ("JobHoldMaxRequeue", "held"), ("Dependency", "dependency"),
        ("DependencyNeverSatisfied", "dependency"), ("BeginTime", "begin"),
        ("QOSMaxGRESPerUser", "limit"), ("AssocGrpGRES", "limit"), ("Licenses", "limit"),
        ("AssocMaxWallDurationPerJobLimit", "never"), ("QOSMaxWallDurationPerJobLimit", "never"),
        ("QOSMaxGRESPerJob", "never"), ("AssocMaxCpuPerNode", "never"), ("QOSMinGRES", "never"),
        ("PartitionTimeLimit", "never"), ("QOSNotAllowed", "never"), ("InvalidAccount", "never"),
        ("MaxMemPerLimit", "never"), ("MaxGRESPerAccount", "limit"), ("QOSGrpJobsLimit", "limit"),
        ("Reservation", "reserved"), ("Priority", "slurm"),
    ],
)  # fmt: skip
def test_slurms_words(word: str, code: str) -> None:
    assert code_of_word(word) == code


def test_each_waiting_job_has_a_code_and_what_to_do() -> None:
    rows = view(
        running(1, "nv1", "gpu:a100:8(IDX:0-7)"),
        waiting(2, "gpu:a100:8", nodes_min=2, tasks=2, cpus=2, time_limit_minutes=60),
        waiting(3, "gpu:a100:1", time_limit_minutes=600, priority=1),
        waiting(4, "gpu:a100:9"),
        waiting(5, "gpu:mi300x:1"),
        waiting(6, "gpu:1", reason="JobHeldUser", priority=0),
    ).rows
    codes = {row.job.id: row.code for row in rows}
    assert codes == {1: "", 2: "busy", 3: "kept", 4: "never", 5: "no-plan", 6: "held"}
    assert all(bool(row.action) == row.waits for row in rows)


def test_a_site_has_its_own_words(tmp_path: Path) -> None:
    words = tmp_path / "reasons.yaml"
    words.write_text('held: {say: "{reason}, says the site", do: "ask ann"}\n')
    shown = view(waiting(6, "gpu:1", reason="JobHeldUser", priority=0), waiting(7, "gpu:1"))
    rows = {row.job.id: row for row in reworded(shown, load_wording(words)).rows}
    assert rows[6].reason.endswith(", says the site")
    assert rows[6].action == "ask ann"
    assert rows[7] in shown.rows
    assert load_wording(tmp_path / "none.yaml") == {}


@pytest.mark.parametrize("text", ["hold: {say: x}", "held: {tell: x}", "held: 3", "- a", "a: ["])
def test_words_that_cannot_be_used_are_refused(text: str, tmp_path: Path) -> None:
    words = tmp_path / "reasons.yaml"
    words.write_text(text)
    with pytest.raises(HetError):
        load_wording(words)
