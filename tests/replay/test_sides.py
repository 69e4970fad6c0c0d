"""What only a past has, simulated: who ran already, who was cancelled, what idles."""

from __future__ import annotations

import pytest

from slurm_het.replay.sides import Effort, SideResult, one_side
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.source import read_site
from slurm_het.replay.trace import DAY
from tests.replay.past import SITE, T0, never_ran, record, site, trace_of

AT = 2 * DAY
WHOLE = "cpu=8,gres/gpu=8,mem=16000M,node=1"
BOTH = "cpu=16,gres/gpu=16,mem=32000M,node=2"


def plain(
    *records: dict[str, str], there: ReplaySite | None = None
) -> tuple[dict[str, float | None], SideResult]:
    """When each starts under plain Slurm's model."""
    there = there or site()
    trace, _ = trace_of(*records, there=there)
    result = one_side("plain", trace, there, Effort("first-fit"), lambda *_: None)
    return {s.key: at for s, at in zip(trace.subjects, result.starts, strict=True)}, result


def wants(job_id: int, at: float, tres: str, **told: object) -> dict[str, str]:
    """A job that asks so much and had it at once, on the nodes that come first."""
    nodes = "a[1-2]" if tres == BOTH else "a1"
    shown = {"ReqTRES": tres, "AllocTRES": tres, "NodeList": nodes, "start": 0}
    return record(job_id, at, **(shown | told))


def test_who_ran_already_is_in_the_way_where_it_was() -> None:
    before = wants(1, -7200, WHOLE, ran=7200 + 5000, NodeList="a2")
    starts, _ = plain(before, wants(2, 100, BOTH, start=60))
    assert starts["1"] == 0
    assert starts["2"] is not None
    assert 5000 <= starts["2"] <= 5060


def test_who_is_cancelled_while_it_waits_is_in_the_way_until_then() -> None:
    runs = wants(1, AT, WHOLE, ran=20_000, TimelimitRaw=600)
    gone = T0 + int(AT) + 1000
    large = never_ran(2, AT + 10, ReqTRES=BOTH, State="CANCELLED", Priority=5_000_000, End=gone,
                      Start=gone, TimelimitRaw=600)  # fmt: skip
    late = wants(3, AT + 20, WHOLE, ran=20_000, TimelimitRaw=600)
    starts, _ = plain(runs, large, late)
    assert starts["2"] is None
    assert starts["3"] is not None
    assert AT + 1000 <= starts["3"] <= AT + 1100


@pytest.mark.parametrize("other", ["gpu:l40s:4", "npu:910b:4"])
def test_what_idles_while_a_job_that_waits_fitted_only_elsewhere_is_counted_apart(
    other: str,
) -> None:
    """Four devices of another node are idle while a job waits for two A100s: it could use them if
    it agreed, by whatever name they are registered."""
    first = [wants(n, AT, WHOLE, ran=36_000, TimelimitRaw=700) for n in (1, 2)]
    waits = record(3, AT + 10, ran=3600)
    there = read_site(SITE.replace("gpu:l40s:4", other), None)
    starts, result = plain(*first, waits, there=there)
    assert starts["3"] is not None
    waited = starts["3"] - AT - 10
    assert waited > 30_000
    assert result.fitted == 0
    assert abs(result.elsewhere - 2 * waited) <= 2 * 2 * 1800
