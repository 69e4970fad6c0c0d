"""The scripts of tests/cases: no wrong vendor, and hardly another difference from the answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.evidence import Case, cluster, judge, message_of, own_names, read_cases
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.request import from_message
from tests.support.world import policy

SETS = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("folder", [SETS, SETS / "second"], ids=["first", "second"])
def test_scripts_as_users_write_them_are_recognised(folder: Path) -> None:
    known = replace(policy(), default_vendors=(), rules=())
    known = replace(known, gres=own_names() | known.gres)
    inventory = cluster(known)
    cases = read_cases(folder)
    kinds = Counter(judge(case, known, inventory).kind for case in cases)
    assert kinds["wrong vendor"] == kinds["may land on a wrong vendor"] == 0
    assert kinds["ok"] >= 0.97 * len(cases)


@pytest.mark.parametrize("case", read_cases(SETS / "several"), ids=lambda case: case.file)
def test_what_the_signs_of_several_vendors_say_together(case: Case) -> None:
    known = replace(policy(), default_vendors=(), rules=())
    got = classify(from_message(message_of(case.text)), known, cluster(known))
    assert set(got.vendors) == case.vendors, got.evidence
    assert case.scenario in {"either", got.scenario}, got.evidence
