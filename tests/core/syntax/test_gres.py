"""The GRES grammar: strings seen in the field, errors that name the part, round trips."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.syntax import gres
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import GresError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu", Gres("gpu")),
        ("gpu:2", Gres("gpu", None, 2)),
        ("gpu:a100", Gres("gpu", "a100", 1)),
        ("gpu:a100:2", Gres("gpu", "a100", 2)),
        ("gpu:910b:8", Gres("gpu", "910b", 8)),
        ("gpu:910b", Gres("gpu", "910b", 1)),
        ("gpu:HL-225:8", Gres("gpu", "HL-225", 8)),
        ("gpu:8(S:0-3)", Gres("gpu", None, 8, sockets="0-3")),
        ("gpu:(null):4", Gres("gpu", None, 4)),
        ("gpu:(null):4(S:0-1)", Gres("gpu", None, 4, sockets="0-1")),
        ("gpu:a100:2(IDX:0-1,4)", Gres("gpu", "a100", 2, indexes=(0, 1, 4))),
        ("gpu:a100_0:0(IDX:)", Gres("gpu", "a100_0", 0, indexes=())),
        ("gpu:0(IDX:N/A)", Gres("gpu", None, 0, indexes=())),
        ("shard:3(3/4,0/4)", Gres("shard", None, 3, shares=((3, 4), (0, 4)))),
        ("shard:3(3/4,2/4,-/4)", Gres("shard", None, 3, shares=((3, 4), (2, 4), (None, 4)))),
        ("shard:l40s:192(S:0)", Gres("shard", "l40s", 192, sockets="0")),
        ("gres:gpu:a100:2", Gres("gpu", "a100", 2)),
        ("gres/gpu:a100:2", Gres("gpu", "a100", 2)),
        ("gres/gpu:a100=2", Gres("gpu", "a100", 2)),
        ("gres/gpu=2", Gres("gpu", None, 2)),
        ("gpu:a100:no_consume:4", Gres("gpu", "a100", 4)),
        ("bandwidth:4G", Gres("bandwidth", None, 4 * 1024**3)),
        ("gpu:2k", Gres("gpu", None, 2048)),
        ("gpu:a100:1M", Gres("gpu", "a100", 1024**2)),
        ("  gpu:2 ", Gres("gpu", None, 2)),
    ],
)
def test_strings_seen_in_the_field(text: str, expected: Gres) -> None:
    assert gres.parse(text) == (expected,)


@pytest.mark.parametrize("text", ["", " ", "(null)", "N/A", "none"])
def test_no_gres_at_all(text: str) -> None:
    assert gres.parse(text) == ()


def test_a_list_is_split_outside_parentheses_only() -> None:
    items = gres.parse("gpu:a100:2(IDX:0-1,4),shard:3(3/4,0/4),license:1")
    assert [item.name for item in items] == ["gpu", "shard", "license"]
    assert items[0].indexes == (0, 1, 4)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("gpu:2,:3", "':3'"),
        ("gpu:2,,gpu:1", "''"),
        ("gpu:a100:2:3", "'gpu:a100:2:3'"),
        ("gpu:a100:x", "'gpu:a100:x'"),
        ("gpu:2(IDX:3-1)", "'3-1'"),
        ("gpu:2(IDX:0-99999)", "'0-99999'"),
        ("gpu:2(IDX:a)", "'a'"),
        ("shard:3(3)", "'shard:3(3)'"),
        ("gpu:2(IDX:0", "'gpu:2(IDX:0'"),
        ("gpu:2)x(", "'gpu:2)x('"),
        ("g pu:2", "'g pu:2'"),
        ("gpu:-2", "'gpu:-2'"),
        ("gpu:a/b:2", "'gpu:a/b:2'"),
        ("gpu:9999999999999999999", "9999999999999999999"),
        ("x" * 70000, "70000 characters"),
    ],
)
def test_an_error_names_the_part(text: str, part: str) -> None:
    with pytest.raises(GresError) as caught:
        gres.parse(text)
    assert part in caught.value.message
    assert len(str(caught.value)) < 300


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n != "no_consume")
# A type that reads as a count (`2`, `4k`) cannot be told from one; Slurm's manual forbids it.
types = st.from_regex(r"[a-z0-9][a-zA-Z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda t: not re.fullmatch("[0-9]+[kmgtpKMGTP]?", t) and t != "no_consume"
)
counts = st.integers(0, 10**12)
indexes = st.sets(st.integers(0, gres.MAX_INDEX), max_size=12).map(lambda s: tuple(sorted(s)))
shares = st.lists(
    st.tuples(st.none() | st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=8
).map(tuple)


@st.composite
def items(draw: st.DrawFn) -> Gres:
    """Any GRES that Slurm could print."""
    base = Gres(draw(names), draw(st.none() | types), draw(counts))
    where = draw(st.sampled_from(["none", "indexes", "shares", "sockets"]))
    if where == "indexes":
        return Gres(base.name, base.type, base.count, indexes=draw(indexes))
    if where == "shares":
        return Gres(base.name, base.type, base.count, shares=draw(shares))
    if where == "sockets":
        return Gres(base.name, base.type, base.count, sockets=draw(st.sampled_from(["0", "0-3"])))
    return base


@given(st.lists(items(), max_size=5))
def test_what_is_written_is_read_back(listed: list[Gres]) -> None:
    assert gres.parse(",".join(map(str, listed))) == tuple(listed)


@given(indexes)
def test_indexes_are_read_back(numbers: tuple[int, ...]) -> None:
    assert gres.parse_indexes(gres.format_indexes(numbers)) == numbers


@given(st.text(alphabet="gpu:a1(),/-=IDXS(null)0 \n\x00é", max_size=60) | st.text(max_size=60))
def test_any_text_is_gres_or_a_gres_error(text: str) -> None:
    with contextlib.suppress(GresError):
        gres.parse(text)


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        ")",
        ",",
        "1",
        "(null)",
        "gpu:",
        "gpu:1,",
        "gres:",
        "gpu(S:",
        "1/1,",
        "0-65535,",
        "=",
        "no_consume:",
    ],
)
def test_hostile_text_is_never_slow(unit: str) -> None:
    for text in (unit * (gres.MAX_TEXT // len(unit)), f"gpu:1({unit * 10000})",
                 f"gpu:1(IDX:{unit * 7000})"):  # fmt: skip
        started = time.process_time()
        with contextlib.suppress(GresError):
            gres.parse(text)
        assert time.process_time() - started < 0.5
