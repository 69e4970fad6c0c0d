"""The page: whole files, no names in its public form, nothing loaded, small, and old in time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from slurm_het.cli import page as module
from slurm_het.cli.documents import PageDocument, PageHealth, PageMoment
from slurm_het.cli.health import HealthCode, Verdict
from slurm_het.cli.page_html import html_of
from slurm_het.cli.page_view import (
    DAY,
    QUEUE_ROWS,
    STEP,
    Making,
    Seen,
    page_in_silence,
    page_of,
    public_form,
)
from slurm_het.cli.whole_file import write_whole
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Limits
from slurm_het.core.reasons.codes import ACTIONS
from slurm_het.core.reasons.plain import PLAIN
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import make_view
from slurm_het.core.views.starts import with_starts
from slurm_het.core.views.totals import summary_of
from slurm_het.errors import HetError
from tests.cli.test_squeue import TYPICAL, FakeSlurm
from tests.support.squeue_cluster import (
    CONFIG,
    NODES,
    NOW,
    POLICY,
    node,
    running,
    snapshot,
    waiting,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-page.json"
HOSTILE = "</td></table><script>alert(1)</script><img src=//x onerror='a()'>\"&\x1b[2J\u202e"
CHROMIUM = shutil.which("chromium") or ""
WELL = Verdict(HealthCode.WELL, "gate closed; hetd leads, last plan 2 s ago, in 0.04 s")


def at(seconds: float) -> str:
    """Times as the tests want them."""
    return f"<{int(seconds)}>"


def seen(taken: Snapshot) -> Seen:
    """What was read of a snapshot."""
    view = with_starts(make_view(taken, POLICY, Limits(), None, at))
    shown = device_map(view.prepared, MapOptions())
    return Seen(view, shown, summary_of(view.prepared.snapshot, view.prepared.inventory, POLICY))


def made(taken: Snapshot, *day: PageMoment) -> PageDocument:
    """The staff form of a snapshot's page, after these moments."""
    return page_of(Making(NOW, 30, NOW + 45, WELL), seen(taken), day, at)


def public(page: PageDocument) -> PageDocument:
    """Its public form."""
    return public_form(page, POLICY, at)


def moment(seconds: int, used: int = 4) -> PageMoment:
    """How it was then."""
    return PageMoment(
        time=seconds, running=1, waiting=2, longest_seconds=3, used={"train-nv": used}
    )


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and what stands open at its end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def named(number: int) -> list[Job]:
    """A job that waits and one that runs, with names of their own and hostile ones."""
    return [
        replace(job, user=f"user{number}x", account=f"acc{number}x", name=f"job{number}x {HOSTILE}")
        for job in (waiting(1000 + number, "gpu:2"), running(2000 + number, "nv1"))
    ]


def test_it_shows_what_the_views_have() -> None:
    page = made(snapshot(*TYPICAL))
    assert (page.running, page.waiting) == (4, 9)
    assert [(n.nodes, n.cells) for n in page.nodes] == [
        ("nv1", "8888hhhh"), ("nv2", "hhhhhhhh"), ("amd[1-2]", "888888--"), ("l40s1", "5h--")
    ]  # fmt: skip
    assert {j.id: j.reason for j in page.jobs}["110"].startswith("needs 8 free on each of 2 nodes")
    assert sum(reason.tasks for reason in page.reasons) == page.waiting
    assert sum(bar.waiting for bar in page.waits) == page.waiting
    text = html_of(page)
    for words in ("4-7 held for job 110 until", "2x8 nvidia:a100", "112_[3-9%3]", WELL.words):
        assert words in text.replace("&lt;", "<")


def test_it_says_how_good_the_told_times_were() -> None:
    good = Accuracy(told=200, kept=194, half_seconds=240.0, most_seconds=900.0)
    page = page_of(Making(NOW, 30, NOW + 45, WELL, good), seen(snapshot(*TYPICAL)), [], at)
    assert f"Start times: {good}." in html_of(public(page))
    assert "Start times" not in html_of(made(snapshot(*TYPICAL)))


def test_the_public_form_has_no_names() -> None:
    ill = replace(NODES[1], state="IDLE+DRAIN", reason="ask carla at her desk")
    alone = replace(
        running(3, "amd1", "gpu:mi300x:8(IDX:0-7)", partition="train-amd"),
        user="dorothea", name="secret-project", exclusive=True,
    )  # fmt: skip
    jobs = [alone, *(job for number in range(50) for job in named(number))]
    staff = made(snapshot(*jobs, nodes=(NODES[0], ill, *NODES[2:])))
    names = [job.user for job in jobs] + [job.name for job in jobs] + [job.account for job in jobs]
    names += ["carla", "secret", "user1x", "acc1x", "alert"]
    told = html_of(staff) + msgspec.json.encode(staff).decode()
    assert sum(f"user{number}x" in told for number in range(50)) == 50
    shown = public(staff)
    told = html_of(shown) + msgspec.json.encode(shown).decode()
    assert [name for name in names if name and name in told] == []
    assert "drained, down" in told


def test_what_people_wrote_is_text() -> None:
    page = made(snapshot(*named(1), nodes=(replace(NODES[1], state="DOWN", reason=HOSTILE),)))
    plain = Tags(html_of(made(snapshot(*TYPICAL))))
    hostile = Tags(html_of(page))
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in plain.tags}
    assert [tag for tag, _ in hostile.tags].count("script") == 1
    assert "\x1b" not in html_of(page)
    assert "\u202e" not in html_of(page)


def test_nothing_is_loaded() -> None:
    text = html_of(made(snapshot(*TYPICAL)))
    for tag, attributes in Tags(text).tags:
        for name in {"src", "href", "srcset", "action"} & set(attributes):
            assert (tag, attributes[name]) == ("link", "data:,")
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_it_says_from_when_on_it_is_old() -> None:
    page = made(snapshot(*TYPICAL))
    text = html_of(page)
    assert f'data-old="{page.old_after}"' in text
    assert '<meta http-equiv="refresh" content="30">' in text
    by_hand = msgspec.structs.replace(page, renewed_seconds=None)
    assert "Made by hand" in html_of(by_hand)
    assert "refresh" not in html_of(by_hand)


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here: apt-get install chromium")
@pytest.mark.parametrize("late", [-30, 30])
def test_a_browser_tells_that_it_is_old(late: int, tmp_path: Path) -> None:
    page = made(snapshot(*named(1)))
    page = msgspec.structs.replace(page, old_after=int(time.time()) - late, renewed_seconds=None)
    file = tmp_path / "index.html"
    file.write_text(html_of(page))
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", f"--user-data-dir={tmp_path}/profile",
         "--enable-logging=stderr", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    html, *_ = Tags(done.stdout).tags
    assert html[1].get("class", "") == ("old" if late > 0 else "")
    assert "data-made" in done.stdout
    assert " h ago</span>" in done.stdout  # the script ran: the page's own policy lets it
    assert "CONSOLE" not in done.stderr


def test_in_slurms_silence_it_shows_what_was() -> None:
    before = made(snapshot(*TYPICAL))
    verdict = Verdict(HealthCode.SLURM_SILENT, "slurmctld does not answer")
    later = Making(NOW + 600, 30, NOW + 645, verdict)
    page = page_in_silence(later, before)
    assert (page.seen, page.waiting) == (before.seen, 9)
    assert "Slurm does not answer: below is how it was" in html_of(page)
    unknown = html_of(page_in_silence(later, None))
    assert "nothing is known" in unknown
    assert "<section" not in unknown  # not a word of how many run


def test_the_day_is_kept_by_steps() -> None:
    now = NOW - NOW % STEP + 100
    old, kept, same = moment(now - DAY), moment(now - DAY + 60), moment(now - 50)
    page = made(replace(snapshot(*TYPICAL), time=float(now)), old, kept, same)
    assert [m.time for m in page.day] == [kept.time, now]
    full = made(snapshot(), *(moment(NOW - DAY + n) for n in range(1, DAY, 60)))
    assert len(full.day) <= DAY // STEP + 1


def test_a_gap_in_the_day_is_a_gap_in_the_line() -> None:
    page = made(snapshot(), moment(NOW - 9 * STEP), moment(NOW - 8 * STEP))
    (line,) = re.findall(r'class="line" d="([^"]*)"', html_of(page))[:1]
    assert line.count("M") == 2


def test_500_nodes_that_all_differ_are_300_kb_at_most() -> None:
    nodes = tuple(
        node(f"gpu-node-{i:04}", "gpu:a100:8", "train-nv", state="IDLE+DRAIN",
             reason=f"{i}: a fan that does not turn, and so on " * 3)
        for i in range(500)
    )  # fmt: skip
    jobs = [job for number in range(5000) for job in named(number)[:1]]
    day = [moment(NOW - DAY + STEP * n, n % 9) for n in range(1, DAY // STEP)]
    page = made(snapshot(*jobs, nodes=nodes), *day)
    assert (len(page.nodes), len(page.jobs)) == (500, QUEUE_ROWS)
    for form in (page, public(page)):
        assert len(html_of(form).encode()) <= 300_000
        assert len(msgspec.json.encode(form)) <= 300_000


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(SCHEMA.read_text())
    page = made(snapshot(*TYPICAL), moment(NOW - STEP))
    for form in (page, public(page)):
        jsonschema.validate(json.loads(msgspec.json.encode(form)), schema)


def test_each_code_has_words_that_name_nobody() -> None:
    assert set(PLAIN) == set(ACTIONS)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose hetd is nowhere."""
    path = tmp_path / "het.yaml"
    path.write_text(f"{CONFIG}\npaths: {{control_socket: {tmp_path}/none.sock}}\n")
    return path


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm with the typical jobs."""
    monkeypatch.setattr(module, "slurm_of", lambda config: FakeSlurm(config.slurm))


def run(*arguments: object) -> str:
    """The command's output; it must succeed."""
    done = CliRunner().invoke(module.page, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("slurm")
def test_both_forms_are_written(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "web"
    mask = os.umask(0o077)
    try:
        run("--out", out, "--config", config)
        run("--out", out, "--renewed", 30, "--config", config)
    finally:
        os.umask(mask)
    modes = {str(p.relative_to(out)): oct(p.stat().st_mode)[-4:] for p in out.rglob("*")}
    assert modes == {
        "public": "0755", "public/index.html": "0644", "public/page.json": "0644",
        "staff": "0750", "staff/index.html": "0640", "staff/page.json": "0640",
    }  # fmt: skip
    page = msgspec.json.decode((out / "staff/page.json").read_bytes(), type=PageDocument)
    assert page.renewed_seconds == 30
    assert page.old_after - page.time == 45
    assert page.health.state == "elsewhere"


@pytest.mark.usefixtures("slurm")
def test_a_page_that_cannot_be_read_is_begun_anew(config: Path, tmp_path: Path) -> None:
    (tmp_path / "staff").mkdir()
    (tmp_path / "staff/page.json").write_text('{"form": "staff", "day": 7')
    run("--out", tmp_path, "--config", config)
    assert len(json.loads((tmp_path / "staff/page.json").read_text())["day"]) == 1


def test_where_it_cannot_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HetError, match="cannot write"):
        write_whole(tmp_path / "none" / "x", b"")


def test_a_link_that_somebody_has_planted_is_not_followed(tmp_path: Path) -> None:
    """The name of the file before the rename cannot be foreseen; the file's own is replaced."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    page = tmp_path / "index.html"
    for planted in (page, tmp_path / f".index.html.{os.getpid()}"):
        planted.symlink_to(precious)
    write_whole(page, b"new")
    assert (page.read_text(), page.is_symlink(), precious.read_text()) == ("new", False, "mine")


@pytest.mark.parametrize("code", list(HealthCode))
def test_each_state_has_its_words_in_the_public_form(code: HealthCode) -> None:
    page = PageDocument(
        form="staff", time=1, seen=1, old_after=2, renewed_seconds=None,
        health=PageHealth(state="x", code=code, words="secret"),
    )  # fmt: skip
    assert public_form(page, POLICY, str).health.words not in {"", "secret"}


WRITER = """
import sys
from pathlib import Path
from slurm_het.cli.whole_file import write_whole
n = 0
while True:
    n += 1
    write_whole(Path(sys.argv[1]), (b"%07d\\n" % n) * 40_000)
"""


def test_a_writer_that_is_killed_leaves_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    write_whole(path, b"0000000\n" * 40_000)
    for number in range(20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        before = path.stat().st_ino
        while path.stat().st_ino == before:
            time.sleep(0.002)
        time.sleep(0.001 * (number % 7))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        lines = path.read_bytes().splitlines()
        assert len(lines) == 40_000
        assert len(set(lines)) == 1
    for left in tmp_path.glob(".index.html.*"):
        os.utime(left, (time.time() - 3600,) * 2)
    write_whole(path, b"")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
