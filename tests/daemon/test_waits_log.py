"""hetd's log says why jobs wait: when that changes, and of few at a time."""

from __future__ import annotations

import logging

import pytest

from slurm_het.core.reasons import AtLimit, CanStart, Reason, SlurmWaits
from slurm_het.core.reasons.codes import code_of
from slurm_het.daemon.waits_log import AGAIN_SECONDS, MOST, WaitsLog

LIMIT = AtLimit("AssocGrpGRES", "account a", "gres/gpu", 4, 4, 1)
HELD = SlurmWaits("JobHeldUser")


def test_a_job_is_named_when_its_reason_becomes_another_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "hetd.waits")
    kept = WaitsLog()
    fuller = AtLimit("AssocGrpGRES", "account a", "gres/gpu", 4, 3, 2)

    def said(now: float, **reasons: Reason) -> list[str]:
        caplog.clear()
        kept.look(reasons, now)
        return caplog.messages

    assert said(0.0, a=LIMIT, b=HELD) == [
        f"job a waits (limit): {LIMIT}",
        "job b waits (held): JobHeldUser: its user holds it",
    ]
    assert said(1.0, a=fuller, b=HELD) == []
    assert said(AGAIN_SECONDS - 1, a=HELD, b=HELD) == [], "reasons may alternate"
    assert said(AGAIN_SECONDS, a=HELD, b=HELD) == [f"job a waits (held): {HELD.told(str)}"]
    assert said(AGAIN_SECONDS + 1, b=HELD) == []
    assert said(AGAIN_SECONDS + 2, a=HELD) == [f"job a waits (held): {HELD.told(str)}"]


def test_a_flood_of_jobs_is_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hetd.waits")
    next_plan = CanStart("the next plan")
    WaitsLog().look({str(n): next_plan for n in range(1000)}, 0.0)
    assert len(caplog.messages) == MOST + 1
    assert caplog.messages[0] == f"job 0 waits ({code_of(next_plan)}): {next_plan}"
    assert caplog.messages[-1] == f"{1000 - MOST} more jobs wait for another reason than before"
