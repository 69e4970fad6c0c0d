"""Updates as lines for scontrol's stdin."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.jobs.mark import Mark, decode_comment, encode_comment
from slurm_het.core.model import Classification
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.spoken import LONGEST, update_line
from tests.support.few_answers import programs

WHAT = Classification("training", evidence=('ignored "#HET" on line 2: it\'s \\" odd\\',))


def parts(line: bytes) -> list[str]:
    """As scontrol takes a line apart."""
    words, word, quotes = list[str](), "", set[str]()
    for char in line.decode().rstrip("\n") + " ":
        if char in "\"'":
            quotes ^= {char}
        if char == " " and not quotes:
            words.append(word)
            word = ""
        else:
            word += char
    return words


def test_a_comment_of_ours_is_one_word_and_reads_the_same() -> None:
    original = {"comment": "a b  'c \"d\\", "features": "[a100*1]|x"}
    comment = encode_comment(WHAT, original)
    line = update_line("7_1", {"AdminComment": comment, "Partition": "accel"})
    assert line
    update, key, said, last = parts(line)
    assert (update, key, last) == ("update", "JobId=7_1", "Partition=accel")
    assert decode_comment(said) == decode_comment(comment)
    assert decode_comment(said) == Mark(WHAT, original)


def test_words_to_people_are_one_word_in_quotes() -> None:
    line = update_line("7", {"AdminComment": 'slurm-het: it\'s "odd" é', "ReqNodeList": ""})
    assert line
    assert parts(line) == [
        "update", "JobId=7", 'AdminComment="slurm-het: it`s `odd` ?"', "ReqNodeList=",
    ]  # fmt: skip


def test_a_comment_of_ours_behind_a_sites_own_goes_another_way() -> None:
    """With the words of people its quotes would be lost, and it could not be read back."""
    assert update_line("7", {"AdminComment": f"budget=42 {encode_comment(WHAT, {})}"}) is None


@pytest.mark.parametrize("comment", ["", "site=1"])
def test_a_comment_that_is_one_word_or_none_needs_no_quotes(comment: str) -> None:
    line = update_line("7", {"AdminComment": comment})
    assert line
    assert parts(line)[2:] == [f"AdminComment={comment}"]


@pytest.mark.parametrize(
    "value", ["a\tb", "a\nb", "\x01", "é", "'", 'a"b', "x" * LONGEST, '"a b"c d', "\x1b[A"]
)
def test_what_scontrol_would_not_read_as_it_is_goes_another_way(value: str) -> None:
    assert update_line("7", {"Features": value}) is None or parts(
        update_line("7", {"Features": value}) or b""
    )[1:] == ["JobId=7", f"Features={value}"]


PER_NODE = {"tasks": 5, "tasks_per_node": 4, "node_count": 2}
PER_GPU = {"tasks": 8, "tasks_per_tres": 2, "tasks_per_node": 0}
OPEN = {"tasks": 4, "tasks_per_tres": 0xFFFE, "tasks_per_node": 0xFFFE}
UNSPLIT = PER_NODE | {"array_job_id": 7, "array_task_string": "1-9"}
MOVED = {"Partition": "train", "ReqNodeList": "n1"}
SIZED = {"NumNodes": "2", **MOVED}


def said(base: Path, version: str, record: dict[str, Any], key: str, fields: dict[str, str]) -> str:
    """What scontrol reads of an update of a job that was read before, behind the job's key."""
    programs(base, version=f"slurm {version}")
    answer = json.dumps({"jobs": [{"job_id": 7, "job_state": "PENDING", **record}]})
    squeue = f"#!/bin/sh\ncase \"$*\" in *json*) echo '{answer}';; *) echo no line;; esac\n"
    (base / "squeue").write_text(squeue)
    script = (base / "scontrol").read_text()
    heard = f"[ $# = 0 ] && exec cat >{base}/said\n"
    (base / "scontrol").write_text(script.replace("#!/bin/sh\n", f"#!/bin/sh\n{heard}", 1))

    async def update() -> None:
        slurm = CliSlurm(SlurmSettings(bin_dir=base))
        await slurm.snapshot()
        await slurm.update_job(key, fields)

    asyncio.run(update())
    return " ".join(parts((base / "said").read_bytes())[2:])


@pytest.mark.parametrize(("version", "record", "key", "fields", "tasks"), [
    ("22.05.8", PER_NODE, "7", SIZED, ""),
    ("24.11.5", PER_NODE, "7", MOVED, "5"),
    ("24.11.5", PER_NODE, "7", SIZED, "5"),
    ("24.11.5", PER_GPU, "7", MOVED, "8"),
    ("24.11.5", OPEN, "7", SIZED, ""),
    ("24.11.5", UNSPLIT, "7_3", MOVED, "5"),
    ("24.11.5", UNSPLIT, "7_[2-9]", MOVED, "5"),
    ("24.11.5", PER_NODE, "8", MOVED, ""),
    ("26.05.5", PER_NODE, "7", MOVED, ""),
    ("26.05.5", PER_NODE, "7", SIZED, "5"),
    ("26.05.5", PER_GPU, "7", SIZED, "8"),
])  # fmt: skip
def test_an_update_leaves_a_job_as_many_tasks_as_its_user_asked_for(
    tmp_path: Path, version: str, record: dict[str, Any], key: str, fields: dict[str, str],
    tasks: str,
) -> None:  # fmt: skip
    """Slurm counts them anew otherwise; whose it would not, has what its user sets meanwhile."""
    expected = fields | ({"NumTasks": tasks} if tasks else {})
    words = " ".join(f"{name}={value}" for name, value in expected.items())
    assert said(tmp_path, version, record, key, fields) == words
