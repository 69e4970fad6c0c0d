"""The two rewrites: what a submission becomes, what admin_comment keeps, how a job is released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.admission import Admitted, Passed, Verdict, admit_message
from slurm_het.core.jobs.asked import classification_of
from slurm_het.core.jobs.mark import MAX_COMMENT, decode_comment, encode_comment
from slurm_het.core.model import SCENARIOS, Classification, Placement
from slurm_het.core.planner.updates import release_fields, return_fields
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import MAX_TURNS, parse_features
from slurm_het.daemon.hook_process import offer
from slurm_het.journal import Journal
from tests.support.world import gated, inventory, policy, running, snapshot, task


def answer_to(**sent: str) -> Verdict:
    """The answer for a submission of one GPU, unless the fields say otherwise."""
    if not any(key.startswith("tres_") for key in sent):
        sent["tres_per_node"] = "gpu:1"
    sent = {"user_name": "ann", "script": "python train.py"} | sent
    return admit_message(sent, policy(), inventory())


def submit(**sent: str) -> Admitted:
    """The answer for a submission that is admitted."""
    answer = answer_to(**sent)
    assert isinstance(answer, Admitted), answer
    return answer


def nodes_for(features: str) -> set[str]:
    """The nodes that plain Slurm could use."""
    allowed = parse_features(features)
    return {n.name for n in inventory().nodes.values() if allowed.allows(n.features)}


def test_an_accelerator_job_goes_to_the_intake_with_its_classification() -> None:
    answer = submit(partition="train-amd", features="mi300x")
    assert answer.fields["partition"] == "accel"
    kept = decode_comment(answer.fields["admin_comment"])
    assert kept is not None
    assert kept.classification.partitions == ("train-amd",)
    assert kept.original == {
        "partition": "train-amd",
        "features": "mi300x",
        "tres_per_node": "gpu:1",
        "time_limit": "",
    }


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [
        ("tres_per_node", "npu:8", "gpu:8"),
        ("tres_per_node", "npu:910b:2", "gpu:910b:2"),
        ("tres_per_job", "dcu:4", "gpu:4"),
        ("tres_per_task", "cpu=2,mlu:1", "cpu=2,gpu:1"),
    ],
)
def test_an_alias_becomes_the_registered_name(field: str, value: str, becomes: str) -> None:
    answer = submit(**{field: value})
    assert gres.parse(answer.fields[field]) == gres.parse(becomes)
    kept = decode_comment(answer.fields["admin_comment"])
    assert kept is not None
    assert kept.original[field] == value


def test_a_request_without_an_alias_is_not_touched() -> None:
    assert "tres_per_node" not in submit(tres_per_node="gpu:a100:2").fields


@pytest.mark.parametrize(
    ("sent", "pools"),
    [
        ({}, "nv"),
        ({"script": "module load rocm\ntorchrun x.py"}, "amd"),
        ({"script": "#HET vendors=any\ntorchrun x.py"}, "nv amd asc dcu"),
        ({"tres_per_node": "gpu:a100:1"}, "nv"),
        ({"tres_per_node": "npu:8"}, "asc"),
        ({"tres_per_node": "shard:24"}, "l40s"),
        ({"tres_per_node": "shard:8", "script": "#HET vendors=any"}, "l40s asi mlu"),
        ({"tres_per_node": "shard:40", "script": "#HET vendors=any"}, "l40s mlu"),
        ({"partition": "train-amd"}, "amd"),
        ({"partition": "train-amd,train-nv"}, "amd nv"),
        ({"features": "a100|mi300x"}, "nv amd"),
        ({"features": "a100|mi300x", "min_nodes": "2", "tres_per_node": "gpu:8"}, "nv amd"),
        ({"script": "#HET vendors=any memory=100G"}, "amd"),
        ({"min_nodes": "2", "tres_per_node": "gpu:8", "script": "#HET vendors=any"},
         "nv amd asc dcu"),
        ({"partition": "train-dcu", "features": "hygon"}, "dcu"),
        ({"features": "l40s"}, "l40s"),  # which no pool of its scenario has
        ({"features": "l40s|a100"}, "nv"),
        ({"features": "nosuch"}, ""),
        ({"features": "(a100|mi300x)"}, "nv amd"),
        ({"features": "(a100|mi300x)&train-nv"}, "nv"),
        ({"features": "(a100|l40s)", "script": "module load cuda"}, "nv"),
        ({"features": "(a100&train-nv)|mi300x"}, "nv amd"),
        ({"features": "(a100&train-nv)|l40s", "script": "#HET vendors=nvidia"}, "nv"),
    ],
)  # fmt: skip
def test_plain_slurm_would_place_it_on_the_same_nodes(sent: dict[str, str], pools: str) -> None:
    """With the gate open the Features must keep the job where the planner would put it."""
    answer = submit(**sent)
    features = answer.fields.get("features", sent.get("features", ""))
    assert nodes_for(features) == {f"{p}{i}" for p in pools.split() for i in (1, 2)}
    assert "((" not in features


def test_a_type_of_two_scenarios_needs_both_its_pool_and_its_name() -> None:
    """With an a100 in infer-nv too the Features name the pools and the types, one by the other."""
    nodes = tuple(
        replace(node, gres="gpu:a100:4", features=node.features | {"a100"})
        if node.name.startswith("l40s") else node
        for node in snapshot().nodes
    )  # fmt: skip
    there = take_inventory(replace(snapshot(), nodes=nodes), policy())
    both = "(train-amd|train-nv)&(a100|mi300x)"
    for features, expected in (
        ("", both),
        ("rack1", f"rack1&{both}"),
        ("(a100|mi300x)", f"(a100|mi300x)&{both}"),
    ):
        sent = {
            "tres_per_node": "gpu:1",
            "features": features,
            "script": "#HET scenario=training vendors=nvidia,amd",
        }
        answer = admit_message(sent, policy(), there)
        assert isinstance(answer, Admitted)
        assert answer.fields["features"] == expected


def test_a_constraint_that_has_no_room_for_more_is_left_alone() -> None:
    """However long, and however often it goes from & to |."""
    turns = "a100" + "&a100|a100" * (MAX_TURNS // 2)
    for features in ("|".join(["a100"] * 204), turns):
        answer = submit(features=features, script="#HET vendors=nvidia")
        assert "features" not in answer.fields


@given(
    st.sampled_from(["gpu:1", "gpu:8", "gpu:a100:2", "shard:24", "npu:4", "dcu:1"]),
    st.sampled_from(["", "train-nv", "infer-nv,train-amd"]),
    st.sampled_from(["", "a100", "a100|mi300x", "train-nv"]),
    st.sampled_from(["module load cuda", "#HET memory=40G vendors=any", "#HET share=yes memory=8G",
                     "vllm serve x", "npu-smi info", "#HET types=l40s"]),
    st.integers(1, 4),
)  # fmt: skip
def test_the_hooks_process_says_the_same_of_kinds_as_of_all_nodes(
    tres: str, partition: str, features: str, script: str, nodes: int
) -> None:
    sent = {"tres_per_node": tres, "partition": partition, "features": features}
    sent |= {"script": script, "min_nodes": str(nodes)}
    offered = offer(inventory(running(1, "nv1", "gpu:a100:2(IDX:0-1)")))
    assert len(offered.nodes) < len(inventory().nodes)
    assert admit_message(sent, policy(), offered) == admit_message(sent, policy(), inventory())


@pytest.mark.parametrize(
    ("script", "uses_others"),
    [("#HET scenario=inference types=a100", True), ("#HET scenario=training types=a100", False)],
)
def test_a_job_whose_scenario_has_no_device_for_it_uses_other_pools(
    script: str, uses_others: bool
) -> None:
    evidence = submit(script=script).classification.evidence
    told = "no inference pool has a node for it; using the others" in evidence
    assert told is uses_others


@pytest.mark.parametrize(
    ("sent", "pools"),
    [
        ({"tres_per_node": "gpu:4"}, "l40s"),
        ({"tres_per_node": "gpu:8"}, "nv"),  # inference nodes have four
        ({"tres_per_node": "gpu:4,gpu:8"}, "nv"),
        ({"tres_per_node": "gpu:8,gpu:4"}, "l40s"),  # the last one counts
        ({"tres_per_task": "gpu:8"}, "nv"),
        ({"tres_per_job": "gpu:8", "max_nodes": "1"}, "nv"),
        ({"tres_per_job": "gpu:8"}, "l40s"),  # over two nodes
        ({"tres_per_node": "gpu:64"}, "l40s"),  # nowhere: Slurm refuses it
    ],
)
def test_a_job_that_no_node_of_its_scenario_holds_uses_the_others(
    sent: dict[str, str], pools: str
) -> None:
    answer = submit(script="module load cuda\nvllm serve m --tensor-parallel-size 8", **sent)
    assert nodes_for(answer.fields["features"]) == {
        f"{p}{i}" for p in pools.split() for i in (1, 2)
    }


def test_several_nodes_want_the_same_alternative() -> None:
    answer = submit(min_nodes="2", tres_per_node="gpu:8", script="#HET vendors=any")
    assert len(parse_features(answer.fields["features"]).alternatives) > 1


def test_a_job_that_may_share_gets_a_share() -> None:
    answer = submit(script="#HET memory=10G share=yes scenario=inference\npython serve.py")
    assert answer.fields["tres_per_node"] == "shard:10"
    assert "shard:10" in answer.classification.evidence[-1]
    equals = submit(tres_per_node="gpu=1", script="#HET memory=10G share=yes scenario=inference")
    assert equals.fields["tres_per_node"] == "shard:10", "another spelling of gpu:1"
    two = submit(tres_per_node="gpu:2", script="#HET memory=10G share=yes scenario=inference")
    assert "tres_per_node" not in two.fields


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        ({"tres_per_node": "gpu:t4:1"}, "no pool has a device"),
        ({"tres_per_node": "gpu:a:b:c"}, "gpu:a:b:c"),
        ({"features": "a100*2"}, "counts"),
    ],
)
def test_what_we_cannot_serve_passes_as_it_is(sent: dict[str, str], part: str) -> None:
    answer = answer_to(**sent)
    assert isinstance(answer, Passed)
    assert part in str(answer.why)


words = st.text(max_size=40)
whats = st.builds(
    Classification,
    scenario=st.sampled_from(SCENARIOS),
    vendors=st.lists(words, max_size=3).map(tuple),
    types=st.lists(words, max_size=3).map(tuple),
    partitions=st.lists(words, max_size=2).map(tuple),
    memory_gib=st.integers(0, 9999),
    share=st.booleans(),
    evidence=st.lists(st.text(max_size=200), max_size=8).map(tuple),
)
originals = st.dictionaries(
    st.sampled_from(["partition", "features", "tres_per_node"]),
    st.text(min_size=1, max_size=400),
)


@given(whats, originals, st.sampled_from(["", "site note; "]))
def test_the_comment_is_read_back_and_bounded(
    what: Classification, original: dict[str, str], before: str
) -> None:
    text = encode_comment(what, original)
    assert len(text.encode()) <= MAX_COMMENT
    if not text:
        return
    kept = decode_comment(before + text + (" seen" if before else ""))
    assert kept is not None
    assert kept.classification in {what, Classification(*[getattr(what, f) for f in FIELDS])}
    assert kept.original in (original, {})


FIELDS = ("scenario", "vendors", "types", "partitions", "memory_gib", "share")


@pytest.mark.parametrize("asked", ["gpu:1,npu:1", "npu:1,gpu:2", "gpu:910b:1,npu:910b:1"])
def test_devices_under_two_names_are_left_to_slurm_and_never_named_twice(asked: str) -> None:
    """Of gpu:1,gpu:1 Slurm counts the last (22.05, 24.11, 26.05): the job would get one of two."""
    answer = answer_to(tres_per_node=asked)
    assert isinstance(answer, Passed)
    assert "two names" in str(answer.why)


def test_no_constraint_is_written_that_no_node_meets() -> None:
    answer = submit(features="rack7|mi300x", script="module load cuda")
    assert nodes_for(answer.fields.get("features", "rack7|mi300x"))


def test_a_long_history_costs_the_evidence_first() -> None:
    what = Classification("training", ("amd",), evidence=("x" * 2000,))
    kept = decode_comment(encode_comment(what, {"partition": "p"}))
    assert kept is not None
    assert kept.classification.vendors == ("amd",)
    assert kept.classification.evidence == ()
    assert kept.original == {"partition": "p"}


def test_bytes_that_are_no_utf8_are_in_no_mark(tmp_path: Path) -> None:
    """The one of an older hetd has them."""
    script = b"#HET vendors=nvidia memory=\xff\xfe".decode(errors="surrogateescape")
    older = submit(script=script).fields["admin_comment"].replace("??", "\\udcff\\udcfe")
    assert "udcff" in older
    for comment in (older, submit(script=script).fields["admin_comment"]):
        mark = decode_comment(comment)
        assert mark
        assert "??" in "".join(mark.classification.evidence).encode().decode()
        journal = Journal(tmp_path / "journal.db")
        journal.record_jobs([(gated(7, admin_comment=comment), mark.classification)])
        assert journal.history("7").classification == mark.classification


@pytest.mark.parametrize(
    "text",
    [
        "", "a user's own words", "het1:", "het1:{}", "het1:[1]", "het1:null", 'het1:{"s":"x"}',
        'het1:{"s":"training","v":1,"t":[],"p":[],"m":0,"sh":0,"orig":{},"why":[]}',
        'het1:{"s":"training","v":[],"t":[],"p":[],"m":"x","sh":0,"orig":{},"why":[]}',
        'het1:{"s":"training","v":[],"t":[],"p":[],"m":1e999,"sh":0,"orig":{},"why":[]}',
        'het1:{"s":"training","v":[],"t":[],"p":[],"m":-1,"sh":0,"orig":{},"why":[]}',
        'het1:{"s":"training","v":"amd","t":[],"p":[],"m":0,"sh":0,"orig":{},"why":[]}',
        'het1:{"s":"training","v":[],"t":[],"p":[],"m":0,"sh":0,"orig":[],"why":[]}',
        "het1:" + "[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_comment_is_no_comment(text: str) -> None:
    assert decode_comment(text) is None


@given(st.integers(0, 400), st.text(max_size=3))
def test_a_cut_or_edited_comment_never_raises(at: int, piece: str) -> None:
    text = encode_comment(Classification("training", ("amd",), evidence=("e",)), {"partition": "p"})
    decode_comment(text[:at])
    decode_comment(text[:at] + piece + text[at + 1 :])


def test_the_classification_comes_from_the_comment_or_is_made_anew() -> None:
    made = classification_of(gated(1, comment="het:vendors=amd"), policy())
    assert made.vendors == ("amd",)
    comment = encode_comment(Classification("inference", ("ascend",)), {})
    kept = classification_of(gated(1, admin_comment=comment), policy())
    assert (kept.scenario, kept.vendors) == ("inference", ("ascend",))
    assert classification_of(gated(1, admin_comment=comment[:-9]), policy()).scenario == "training"


@pytest.mark.parametrize(
    ("nodes", "job", "expected"),
    [
        (("amd1",), {}, {"Partition": "train-amd", "ReqNodeList": "amd1"}),
        (
            ("amd1", "amd2"),
            {"nodes_min": 2},
            {"NumNodes": "2", "Partition": "train-amd", "ReqNodeList": "amd1,amd2"},
        ),
        (
            ("amd1", "amd2"),
            {"nodes_min": 1},
            {"NumNodes": "2", "Partition": "train-amd", "ReqNodeList": "amd1,amd2"},
        ),
    ],
)
def test_one_update_releases_a_job(
    nodes: tuple[str, ...], job: dict[str, Any], expected: dict[str, str]
) -> None:
    placement = Placement("1", "train-amd", nodes, ((0,),) * len(nodes), ("mi300x",), 192)
    fields = release_fields(placement, gated(1, **job))
    assert fields == expected
    assert "Partition" in fields  # without it, Slurm would shrink a job that has started


def test_a_job_is_taken_back_to_the_intake_without_its_pin() -> None:
    assert return_fields(policy()) == {"Partition": "accel", "ReqNodeList": ""}
    made = Placement("1", "train-nv", ("nv1", "nv2"), ((0,), (0,)), ("a100",) * 2, 80)
    pin = Pin(task("1"), made, 0.0, num_nodes="1-2")
    assert return_fields(policy(), pin)["NumNodes"] == "1-2"
