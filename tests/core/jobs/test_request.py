"""A job's request is the same record, whether the hook tells it or Slurm's queue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.request import (
    TIME_LIMIT,
    UNTOLD,
    GresRequests,
    from_message,
    from_record,
    registered,
)
from slurm_het.core.model import Job
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import GresError
from tests.support.world import policy

texts = st.text(max_size=20)
tres = st.sampled_from(["", "gpu", "gpu:2", "npu:910b:1", "shard:24", "cpu=2,gpu=1"])
sent_fields = st.fixed_dictionaries({
    "user_name": texts, "account": texts, "name": texts, "partition": texts, "features": texts,
    "comment": texts, "script": texts, "tres_per_node": tres, "tres_per_job": tres,
    "tres_per_task": tres, "tres_per_socket": tres,
})  # fmt: skip


@given(sent_fields, st.integers(0, 2**31))
def test_both_readers_give_the_same_record(sent: dict[str, str], nodes: int) -> None:
    fields = {("user" if key == "user_name" else key): text for key, text in sent.items()}
    script = fields.pop("script")
    job = Job(1, nodes_min=nodes, **fields)  # type: ignore[arg-type]
    found = from_record(job, script)
    assert found.original[TIME_LIMIT] == UNTOLD
    told = {name: text for name, text in found.original.items() if name != TIME_LIMIT}
    assert replace(found, original=told) == from_message(
        sent | {"min_nodes": str(nodes), "time_limit": "60"}
    )


def test_each_option_asks_for_itself() -> None:
    asked = from_message({"tres_per_task": "cpu=2,gpu:a100:1", "tres_per_job": "gpu:8"}).gres
    assert asked.task == (Gres("cpu", None, 2), Gres("gpu", "a100", 1))
    assert asked.job == (Gres("gpu", None, 8),)
    assert asked.node == asked.socket == ()
    assert asked.all() == asked.job + asked.task


def test_the_users_own_text_is_kept_where_it_may_be_replaced() -> None:
    request = from_message(
        {"partition": "accel", "features": "", "tres_per_node": "gpu:no_consume:2", "name": "x"}
    )
    assert request.original == {
        "partition": "accel", "tres_per_node": "gpu:no_consume:2", "time_limit": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "nodes"), [("2", 2), ("0", 0), ("", 1), ("-1", 1), ("two", 1), ("9" * 12, 1)]
)
def test_a_number_of_nodes_that_is_none_counts_as_one(sent: str, nodes: int) -> None:
    assert from_message({"min_nodes": sent}).nodes == nodes


def test_what_is_no_gres_is_said() -> None:
    with pytest.raises(GresError, match="gpu:a:b:c"):
        from_message({"tres_per_node": "gpu:a:b:c"})
    with pytest.raises(GresError, match="gpu:a:b:c"):
        from_record(Job(1, tres_per_task="gpu:a:b:c"))


def test_an_alias_asks_for_what_the_cluster_registers() -> None:
    asked = GresRequests(node=(Gres("npu", "910b", 2), Gres("scratch", None, 9)))
    assert asked.registered(policy()).node == (Gres("gpu", "910b", 2), asked.node[1])
    assert registered(asked.node[1], policy()) is asked.node[1]


def test_shares_and_other_gres_are_no_whole_devices() -> None:
    sent = {"tres_per_node": "gpu:2,scratch:9", "tres_per_job": "shard:24", "tres_per_task": "npu"}
    assert from_message(sent).whole_devices(policy()) == 3


@pytest.mark.parametrize(("names_most", "kept"), [(True, "1-4"), (False, "")])
def test_a_range_up_to_the_number_of_tasks_is_one_where_that_stands_for_nothing_else(
    names_most: bool, kept: str
) -> None:
    """`-N1-4 -n4`: Slurm gives it as many nodes as it can (22.05, 24.11, 26.05)."""
    sent = {"tres_per_node": "gpu:1", "min_nodes": "1", "max_nodes": "4", "num_tasks": "4"}
    assert from_message(sent, names_most=names_most).original.get("nodes", "") == kept
