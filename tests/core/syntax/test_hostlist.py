"""Host lists: Slurm's grammar and order, bounded, and nothing but HetError for the rest."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("(null)", ()),
        ("None assigned", ()),
        ("nv1", ("nv1",)),
        ("nv[1-2],amd1", ("nv1", "nv2", "amd1")),
        ("zz,aa", ("zz", "aa")),
        ("b[3,1],a2", ("b1", "b3", "a2")),
        ("n[01-03]", ("n01", "n02", "n03")),
        ("n[1-2,5]", ("n1", "n2", "n5")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("n[1-2]0", ("n10", "n20")),
        ("n1[8-9]", ("n18", "n19")),
        ("n[525400123456-525400123457]", ("n525400123456", "n525400123457")),
        ("a,a", ("a",)),
        ("gpu-node_1.example.org", ("gpu-node_1.example.org",)),
        ("nv1 nv2", ("nv1", "nv2")),  # as users may write, and Slurm prints, a ReqNodeList
        (" nv2\tnv1,,nv3 ,", ("nv2", "nv1", "nv3")),
        (",".join(["a"] * 200_000), ("a",)),
    ],
)
def test_lists_are_expanded_in_their_order(text: str, expected: tuple[str, ...]) -> None:
    assert hostlist.expand(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "n[1-999999999]", "n[1-99999999999999]", "n[1-1000]m[1-1000]", "n[1", "n1]", "n[[1]]",
        "n[1-]", "n[-1]", "n[a-b]", "n[]", "a!b", "a&b", "@group", "n[3-1]", "n;rm", "a\nb",
        "n1[8-12]", "n[0-9]999999999", "x" * 5
        + "[1-9]" * 12, ",".join(f"a[{n}]" for n in range(9000)), "," * 60_000 + "!",
    ],
)  # fmt: skip
def test_what_is_no_host_list_is_refused_fast(text: str) -> None:
    started = time.process_time()
    with pytest.raises(HetError) as caught:
        hostlist.expand(text)
    assert "not a host list" in caught.value.message
    assert len(str(caught.value)) < 400
    assert time.process_time() - started < 0.5


@given(st.lists(st.from_regex(r"[a-z]{1,4}[0-9]{0,3}", fullmatch=True), unique=True, max_size=30))
def test_what_is_folded_is_expanded_again(names: list[str]) -> None:
    assert set(hostlist.expand(hostlist.fold(names))) == set(names)


@given(
    st.lists(
        st.from_regex(r"[a-z]{1,2}[0-9]{1,2}([a-z][0-9]{1,2})?(-ib)?", fullmatch=True),
        unique=True, max_size=30,
    )
)  # fmt: skip
def test_in_what_is_folded_for_slurm_nothing_follows_the_last_bracket(names: list[str]) -> None:
    folded = hostlist.fold_for_slurm(names)
    assert set(hostlist.expand(folded)) == set(names)
    assert not re.search(r"\][^,\[\]]+(,|$)", folded)


@given(st.text(alphabet="nv12[]-,0a.(", max_size=24) | st.text(max_size=24))
def test_any_text_is_a_list_or_a_het_error(text: str) -> None:
    started = time.process_time()
    try:
        names = hostlist.expand(text)
    except HetError:
        names = ()
    assert len(names) <= hostlist.MAX_HOSTS
    assert time.process_time() - started < 2


def test_many_nodes_without_an_order() -> None:
    """Found by fuzzing: commas in a bracket were counted twice, so that 400 odd nodes were none."""
    names = [f"n{number}" for number in range(1, 2000, 2)]
    assert hostlist.expand(hostlist.fold(names)) == tuple(names)
