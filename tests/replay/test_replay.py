"""The command from files to the report: the match with the past, who gains, who loses."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from slurm_het.cli.admin import cli
from slurm_het.cli.replay_html import html_of
from slurm_het.cli.replay_text import MOST_LINES, text_of
from slurm_het.core.backfill import Backfill
from slurm_het.replay.documents import ReplayDocument
from slurm_het.replay.findings import SIZES, findings
from slurm_het.replay.sides import MOST_RENDITIONS, Effort, one_side
from slurm_het.replay.site import COMMAND, settings_of
from slurm_het.replay.source import read_site
from slurm_het.replay.trace import DAY
from slurm_het.simulation.slurm import Settings
from tests.replay.past import SITE, T0, edges, record, site, trace_of
from tests.replay.past import text_of as sacct_text

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-replay.json"


def queue(seed: int = 1, jobs: int = 60) -> list[dict[str, str]]:
    """More than two nodes of eight can do at times: as they came and ran, but with no waits yet."""
    rng = random.Random(seed)
    made = []
    for n in range(jobs):
        devices = rng.choice([1, 1, 2, 4, 8])
        ran = int(rng.uniform(1800, 20_000))
        tres = f"cpu={devices * 4},gres/gpu={devices},mem={devices * 8000}M,node=1"
        made.append(
            record(
                n + 1, rng.uniform(0, 2.5 * DAY), ran=ran, start=0, User=f"u{n % 5}",
                TimelimitRaw=int(ran / 60 * rng.choice([1.2, 3])) + 1, ReqTRES=tres,
                AllocTRES=tres, Priority=0, NodeList=rng.choice(["a1", "a2"]),
            )
        )  # fmt: skip
    return made


def as_plain_slurm_would(records: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The same with the starts of plain Slurm's model: a past that it meets."""
    trace, _ = trace_of(*records)
    result = one_side("plain", trace, site(), Effort("first-fit"), lambda *_: None)
    starts = {s.key: at for s, at in zip(trace.subjects, result.starts, strict=True)}
    for one in records:
        start = starts[one["JobID"]]
        assert start is not None
        begin = T0 + round(start)
        yield one | {"Start": str(begin), "End": str(begin + int(one["ElapsedRaw"]))}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command keeps of such a past."""
    directory = tmp_path_factory.mktemp("replay")
    return replayed(directory, list(as_plain_slurm_would(queue())))


def replayed(directory: Path, records: list[dict[str, str]]) -> dict[str, Any]:
    (directory / "site.txt").write_text(SITE)
    (directory / "jobs.txt").write_text(sacct_text([*edges(), *records]))
    out = directory / "r.json"
    ran = CliRunner().invoke(
        cli,
        ["replay", str(directory / "jobs.txt"), "--site", str(directory / "site.txt"), "--out",
         str(out), "--solver", "first-fit", "--look-every", "1800"],
        catch_exceptions=False,
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_a_past_of_plain_slurms_is_met_and_what_would_change_is_told(
    result: dict[str, Any],
) -> None:
    match, gain = result["match"], result["gain"]
    assert match["holds"], match["broken"]
    assert match["truth"]["waits"]["mean"] > 600
    assert abs(match["truth"]["busy"] - match["plain"]["busy"]) < 0.02
    assert gain["ours"]["busy"] > 0.9 * match["plain"]["busy"]
    assert sum(one["jobs"] for one in gain["users"]) == result["jobs"]
    assert sum(one["jobs"] for one in gain["sizes"]) == result["jobs"]
    changes = [one["jobs"] * (one["ours"]["mean"] - one["plain"]["mean"]) for one in gain["users"]]
    assert changes == sorted(changes)
    later = [one["ours"] - one["plain"] for one in gain["worst"]]
    # Both are rounded.
    assert all(one >= other - 1 for one, other in pairwise(later))
    assert len(later) <= 10


def test_the_result_is_of_its_schema(result: dict[str, Any]) -> None:
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))


def test_the_text_has_at_most_forty_lines_and_begins_with_the_match(
    result: dict[str, Any],
) -> None:
    lines = text_of(msgspec.convert(result, ReplayDocument))
    assert len(lines) <= MOST_LINES
    assert "meets what happened" in lines[1]
    assert any(line.startswith("user who loses most") for line in lines)


def test_a_short_past_is_told_with_what_chance_does(result: dict[str, Any]) -> None:
    made = msgspec.convert(result, ReplayDocument)
    assert made.gain
    each = made.gain.renditions
    assert len(each) == MOST_RENDITIONS
    assert len({one.ours for one in each}) > 1
    assert mean(one.ours for one in each) == pytest.approx(made.gain.ours.waits.mean, abs=0.2)
    assert mean(one.plain for one in each) == pytest.approx(made.match.plain.waits.mean, abs=0.2)
    one = msgspec.structs.replace(made.gain, renditions=each[:1])
    for gain, there in ((made.gain, True), (one, False)):
        told = msgspec.structs.replace(made, gain=gain)
        assert ("8 renditions" in "\n".join(text_of(told))) is there
        assert ("8 renditions" in html_of(told)) is there


def test_a_solver_that_was_late_is_told(result: dict[str, Any]) -> None:
    """What production would have planned is another plan then: first-fit's was taken."""
    made = msgspec.convert(result, ReplayDocument)
    late = msgspec.structs.replace(made.cost, asked=90, unanswered=7)
    said = "no answer in time 7 of 90 times"
    for cost, there in ((made.cost, False), (late, True)):
        told = msgspec.structs.replace(made, cost=cost)
        assert (said in "\n".join(text_of(told))) is there
        assert (said in html_of(told)) is there


def test_jobs_that_had_not_started_when_it_ended_are_counted_and_told() -> None:
    """Twenty-nine jobs, each for a node for two days, on two nodes: not within six days."""
    whole = "cpu=8,gres/gpu=8,mem=1G,node=1"
    trace, tally = trace_of(
        *(
            record(n, 1.2 * DAY + n, ran=int(1.9 * DAY), TimelimitRaw=2880, ReqTRES=whole,
                   AllocTRES=whole, Priority=0)
            for n in range(1, 30)
        )
    )  # fmt: skip
    effort = Effort("first-fit", renditions=1)
    plain = one_side("plain", trace, site(), effort, lambda *_: None)
    never = sum(start is None for start in plain.starts)
    made = findings(trace, site(), {"plain": [plain], "ours": [plain]}, tally, effort, 0.0, 1.0)
    assert never > 20
    assert (made.match.plain.unstarted, made.match.truth.unstarted) == (never, 0)
    said = f"{never} jobs under plain Slurm had not started"
    assert said in "\n".join(text_of(made))
    assert said in html_of(made)


def test_jobs_that_accounting_has_running_for_months_are_named_with_the_remedy() -> None:
    told: dict[str, object] = {"State": "RUNNING", "End": "Unknown"}
    months = [record(n, -60 * DAY + n, NodeList="a2", **told) for n in (1, 2, 3)]
    trace, tally = trace_of(*months, record(4, 2 * DAY))
    effort = Effort("first-fit", renditions=1)
    plain = one_side("plain", trace, site(), effort, lambda *_: None)
    made = findings(trace, site(), {"plain": [plain], "ours": [plain]}, tally, effort, 0.0, 1.0)
    (said,) = (one for one in made.caveats if "no end" in one)
    assert said.startswith("3 jobs have no end")
    assert "since 2026-07-23 (1, 2, 3): they hold 6 devices" in said
    assert "sacctmgr show runawayjobs" in said


@pytest.mark.parametrize(
    ("replaced", "by", "named"),
    [
        ("", "", ""),
        ("=50", "=50,bf_max_job_part=5,defer,bf_window=60", "bf_max_job_part=5, defer"),
        ("bf_interval=10", "bf_interval=-1,defer", "bf_interval=-1, defer"),
        ("PriorityType ", "SelectTypeParameters = CR_CORE_MEMORY,CR_LLN\nPriorityType ",
         "SelectTypeParameters=CR_LLN"),
        ("Partitions=infer", "Partitions=infer Weight=5", "Weight of nodes"),
        ("Partitions=cpu", "Partitions=cpu Weight=5", ""),
    ],
)  # fmt: skip
def test_what_the_model_does_not_know_of_slurm_conf_is_named(
    replaced: str, by: str, named: str
) -> None:
    there = read_site(SITE.replace(replaced, by, 1) if replaced else SITE, None)
    assert ", ".join(there.unheeded) == named
    trace, tally = trace_of(record(4, 2 * DAY))
    effort = Effort("first-fit", renditions=1)
    plain = one_side("plain", trace, there, effort, lambda *_: None)
    made = findings(trace, there, {"plain": [plain], "ours": [plain]}, tally, effort, 0.0, 1.0)
    assert [one for one in made.caveats if "slurm.conf has" in one] == [
        f"slurm.conf has {named}: that bears on who starts, and the model of plain Slurm does not"
        " know it"
    ] * bool(named)


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ("(null)", Settings()),
        ("bf_resolution=600, BF_INTERVAL=60", Settings(bf_resolution=600.0, bf_interval=60.0)),
        (
            "bf_max_job_array_resv=0,batch_sched_delay=0",
            Settings(Backfill(of_array=1), sched_delay=0.0),
        ),
        ("sched_interval=-1,default_queue_depth=0,bf_resolution=0", Settings()),
        ("bf_max_job_test=900,bf_max_job_user=9", Settings(backfill=Backfill(jobs=900, of_user=9))),
        ("bf_min_prio_reserve=5", Settings()),
    ],
)
def test_what_of_schedulerparameters_a_replay_goes_by(parameters: str, settings: Settings) -> None:
    assert settings_of({"SchedulerParameters": parameters}) == settings


def test_the_longest_report_has_its_last_line(result: dict[str, Any]) -> None:
    made = msgspec.convert(result, ReplayDocument)
    assert made.gain
    (kind, *_), (cause, *_) = made.gain.sizes, made.taken
    gain = msgspec.structs.replace(made.gain, sizes=[kind] * len(SIZES), types=[kind] * 9)
    longest = msgspec.structs.replace(
        made, caveats=["so"] * 4, look_every=60.0, gain=gain, left_out=[cause] * 9,
        taken=[cause] * 9, cost=msgspec.structs.replace(made.cost, unanswered=1),
    )  # fmt: skip
    lines = text_of(longest)
    assert len(lines) <= MOST_LINES
    assert lines[-1].startswith("not modelled")


def test_the_page_loads_nothing_and_escapes_what_users_wrote(result: dict[str, Any]) -> None:
    made = msgspec.convert(result, ReplayDocument)
    assert made.gain
    hostile = msgspec.structs.replace(made.gain.users[0], name="<script>x</script>")
    gain = msgspec.structs.replace(made.gain, users=[hostile])
    page = html_of(msgspec.structs.replace(made, gain=gain))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not any(word in page for word in ("http:", "https:", "url(", " src="))


def test_how_many_jobs_may_have_named_a_type_in_their_scripts_is_told(
    result: dict[str, Any],
) -> None:
    said = f"of {result['jobs']} jobs that count only the script can say which type"
    made = msgspec.convert(result, ReplayDocument)
    assert said in "\n".join(text_of(made))
    assert said in html_of(made)


def test_a_past_that_the_model_does_not_meet_makes_no_claim(tmp_path: Path) -> None:
    """Nobody waited, says the record: so busy a cluster could not have been."""
    result = replayed(tmp_path, queue())
    assert not result["match"]["holds"]
    assert result["gain"] is None
    lines = text_of(msgspec.convert(result, ReplayDocument))
    assert "NOT" in lines[1]
    assert not any("slurm-het the mean wait" in line for line in lines)
    assert "slurm-het, simulated" not in html_of(msgspec.convert(result, ReplayDocument))


def test_jobs_that_are_released_run_where_the_site_has_such_devices(
    result: dict[str, Any],
) -> None:
    """The plain model gives out all of a pool at most, and so does hetd."""
    for pool in result["gain"]["pools"]:
        assert all(0 <= share <= 1.001 for share in (*pool["plain"], *pool["ours"]))
    assert {pool["pool"] for pool in result["gain"]["pools"]} == {"train", "infer"}


def test_what_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "site.txt").write_text("nothing")
    (tmp_path / "jobs.txt").write_text(sacct_text(edges()))
    words = ["replay", str(tmp_path / "jobs.txt"), "--site", str(tmp_path / "site.txt")]
    ran = CliRunner().invoke(cli, words)
    assert "there is no node" in str(ran.exception)
    assert COMMAND in str(ran.exception)


def test_the_files_are_asked_for_with_hidden_partitions_wherever_it_is_said_how() -> None:
    """The live way asks for them, too."""
    assert COMMAND.count(" -a ") == 2
    helped = CliRunner().invoke(cli, ["replay", "--help"]).output
    page = (SCHEMA.parents[1] / "replay.md").read_text()
    assert COMMAND in page
    assert COMMAND.split() == helped[helped.index("(scontrol") :].split()[: len(COMMAND.split())]
