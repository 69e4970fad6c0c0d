"""Updates as lines for scontrol's stdin."""

from __future__ import annotations

import pytest

from slurm_het.core.jobs.mark import Mark, decode_comment, encode_comment
from slurm_het.core.model import Classification
from slurm_het.slurm.spoken import LONGEST, update_line

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
