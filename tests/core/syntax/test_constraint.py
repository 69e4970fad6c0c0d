"""--constraint expressions: read as Slurm reads them, and combined without loosening."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.syntax.constraint import MAX_TURNS, combine, parse_features
from slurm_het.errors import HetError


@pytest.mark.parametrize(
    ("text", "has", "expected"),
    [
        ("", "", True),
        ("(null)", "", True),
        ("a100", "a100", True),
        ("a100", "", False),
        ("a100|h100", "h100", True),
        ("a100&nvidia", "a100", False),
        ("a100,nvidia", "a100 nvidia", True),
        ("a100,nvidia", "a100", False),
        # Left to right, without precedence: ran on an a100 of nvidia, and not on one without.
        ("a100|amd&nvidia", "a100 nvidia", True),
        ("a100|amd&nvidia", "a100", False),
        ("a100|amd&nvidia", "amd", False),
        ("a100|(amd&nvidia)", "a100", True),
        ("(a|b)&(c|d)", "a d", True),
        ("(a|b)&(c|d)", "a b", False),
        ("((a))", "a", True),
        ("[rack1|rack2]", "rack2", True),
        ("[rack1|rack2]", "rack3", False),
        (" a | b ", "b", True),
    ],
)
def test_a_node_satisfies_an_expression(text: str, has: str, expected: bool) -> None:
    assert parse_features(text).allows(frozenset(has.split())) is expected


def test_matching_or_gives_one_alternative_per_choice() -> None:
    parsed = parse_features("[rack1|rack2|(a&b)]")
    assert len(parsed.alternatives) == 3
    assert parsed.alternatives[1].holds(frozenset({"rack2"}))
    assert not parsed.alternatives[1].holds(frozenset({"rack1"}))
    assert len(parse_features("rack1|rack2").alternatives) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a*2", "[a*2&b*1]", "a|", "|a", "a||b", "(a", "a)", "()", "[a|b", "[a]&[b]", "a&[b|c]",
        "a b", "(" * 2000 + "a", "(" * 40 + "a" + ")" * 40, "a" * 2000, "a|" * 600,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text: str) -> None:
    started = time.process_time()
    with pytest.raises(HetError) as caught:
        parse_features(text)
    assert len(str(caught.value)) < 250
    assert time.process_time() - started < 0.2


@given(st.text(alphabet="ab&|()[], *", max_size=20) | st.text(max_size=20))
def test_any_text_is_a_constraint_or_a_het_error(text: str) -> None:
    with contextlib.suppress(HetError):
        parse_features(text).allows(frozenset({"a"}))


def test_operators_that_alternate_without_end_are_refused() -> None:
    """Each turn is a level; a list of one kind is none, however long."""
    assert parse_features("|".join(["t4"] * 300)).allows(frozenset({"t4"}))
    turns = "t4" + "|t4&t4" * (MAX_TURNS // 2)
    assert parse_features(turns).allows(frozenset({"t4"}))
    with pytest.raises(HetError, match="cannot read the constraint"):
        parse_features(f"{turns}|t4")
    with pytest.raises(HetError, match="cannot read the constraint"):
        parse_features(f"({turns})&({turns})")


@pytest.mark.parametrize(
    ("user", "names", "one_for_all", "expected"),
    [
        ("", ["a100"], False, "a100"),
        ("", ["h100", "a100"], False, "a100|h100"),
        ("", ["h100", "a100"], True, "[a100|h100]"),
        ("", ["a100"], True, "a100"),
        ("(null)", ["a100"], True, "a100"),
        ("rack1", ["a100"], False, "rack1&a100"),
        ("rack1", ["a100", "h100"], True, "rack1&(a100|h100)"),
        ("r1|r2", ["a100"], False, "r1|r2&a100"),
        ("(r1|r2)", ["a100", "h100"], True, "(r1|r2)&(a100|h100)"),
        ("(r1&ib)|r2", ["a100"], False, "(r1&ib)|r2&a100"),
        ("rack1", [], False, "rack1"),
        ("", [], True, ""),
        ("[r1|r2]", ["a100"], False, "[r1|r2]"),
    ],
)
def test_our_names_beside_the_users(
    user: str, names: list[str], one_for_all: bool, expected: str
) -> None:
    assert combine(user, names, one_for_all=one_for_all) == expected


WORDS = ["a", "b", "c"]
expressions = st.recursive(
    st.sampled_from(WORDS),
    lambda inner: st.one_of(
        st.builds("{}|{}".format, inner, inner),
        st.builds("{}&{}".format, inner, inner),
        st.builds("({})".format, inner),
    ),
    max_leaves=5,
)


@given(
    expressions,
    st.lists(st.sets(st.sampled_from(["x", "y", "z"]), min_size=1), min_size=1, max_size=2),
    st.booleans(),
)
def test_combining_never_loosens_what_the_user_restricted(
    user: str, groups: list[set[str]], one_for_all: bool
) -> None:
    theirs = parse_features(user)
    both = parse_features(combine(user, *groups, one_for_all=one_for_all))
    for size in range(7):
        for has in itertools.combinations([*WORDS, "x", "y", "z"], size):
            node = frozenset(has)
            ours = all(names & node for names in groups)
            assert both.allows(node) == (theirs.allows(node) and ours)


flat = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).flatmap(
    lambda names: st.sampled_from([op.join(names) for op in "&|,"])
)
as_slurm_takes_it = st.lists(
    st.one_of(flat, flat.map("({})".format)), min_size=1, max_size=4
).flatmap(lambda parts: st.sampled_from([op.join(parts) for op in "&|"]))


@given(
    st.just("") | as_slurm_takes_it,
    st.lists(st.sets(st.sampled_from(["x", "y"]), min_size=1), min_size=1, max_size=2),
    st.booleans(),
)
def test_nothing_that_we_write_has_parentheses_within_parentheses(
    user: str, groups: list[set[str]], one_for_all: bool
) -> None:
    """Slurm refuses them: 22.05, 24.11, 26.05."""
    depth = 0
    for char in combine(user, *groups, one_for_all=one_for_all):
        depth += (char == "(") - (char == ")")
        assert depth in {0, 1}
    assert depth == 0
