"""A small share of `./dev fuzz` (tests/fuzz), and every input that it ever found."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_het.core.syntax import hostlist
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS, checked
from tests.support.cluster import Cluster

CORPUS = sorted(Path(targets.__file__).parent.glob("corpus/*/*"))
SLOW = 2.0
"""Seconds of CPU; an input of a few KiB takes well under one hundredth of them."""


@pytest.fixture(scope="module", autouse=True)
def _servers_end() -> Iterator[None]:
    yield
    targets.close()


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: f"{p.parent.name}-{p.name[:14]}")
def test_what_was_found_once_holds_now(path: Path) -> None:
    began = time.process_time()
    checked(path.parent.name, path.read_bytes())
    assert time.process_time() - began < SLOW


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Seeds cut and joined with words that mean something to the target, or anything."""
    target = TARGETS[name]
    pieces = st.one_of(
        st.sampled_from([w.encode("utf-8", "replace") for w in target.words] or [b","]),
        st.builds(
            lambda seed, a, b: seed[min(a, b) : max(a, b)],
            st.sampled_from(target.seeds), st.integers(0, 200), st.integers(0, 200),
        ),
        st.binary(max_size=8),
    )  # fmt: skip
    return st.lists(pieces, max_size=8).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds(name: str) -> None:
    @settings(
        max_examples=150, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no find
    )  # fmt: skip
    @given(inputs(name))
    def hold(data: bytes) -> None:
        began = time.process_time()
        checked(name, data)
        assert time.process_time() - began < SLOW

    for seed in TARGETS[name].seeds:
        checked(name, seed)
    hold()


@pytest.mark.parametrize("name", [n for n in TARGETS if not n.endswith("_socket")])
def test_long_inputs_take_linear_time(name: str) -> None:
    """The longest that reaches a reader, made of what it knows: no step may be quadratic."""
    target = TARGETS[name]
    for word in (*(w.encode("utf-8", "replace") for w in target.words), *target.seeds):
        began = time.process_time()
        checked(name, word * (65536 // len(word)))
        assert time.process_time() - began < SLOW, f"{name}: 64 KiB of {word!r}"


@pytest.mark.slurm
def test_host_lists_mean_what_slurm_says(cluster: Cluster) -> None:
    """On a sample, `scontrol show hostnames` is the oracle."""
    rng = random.Random(7)
    texts = [_hosts(rng) for _ in range(60)]
    for text in dict.fromkeys(texts):
        said = cluster.box.run(["scontrol", "show", "hostnames", text])
        assert said.returncode == 0, (text, said.stderr)
        names = str(said.stdout).split()
        assert set(hostlist.expand(text)) == set(names), text
        folded = hostlist.fold(names)
        back = str(cluster.box.run(["scontrol", "show", "hostnames", folded]).stdout).split()
        assert set(back) == set(names), folded


def _hosts(rng: random.Random) -> str:
    """A host list such as Slurm prints: prefixes, ranges with and without leading zeros."""
    items = []
    for _ in range(rng.randint(1, 4)):
        low = rng.randint(0, 12)
        width = rng.choice((0, 0, 3))
        spans = [f"{low:0{width}d}", f"{low + 2:0{width}d}-{low + rng.randint(3, 9):0{width}d}"]
        body = f"[{','.join(rng.sample(spans, rng.randint(1, 2)))}]" if rng.random() < 0.8 else ""
        items.append(f"{rng.choice(('nv', 'gpu-a', 'r1n', 'x'))}{body}")
    return ",".join(items)
