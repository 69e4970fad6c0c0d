"""What a job is: realistic scripts, directives, requests, and their evidence."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.catalog import model_of
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.request import from_message
from slurm_het.core.model import Classification, NodeRecord, Snapshot
from slurm_het.core.policy import Rule
from slurm_het.core.syntax.script import parse_gib, parse_hints, read_script
from tests.support.world import partitions, policy


def of(script: str = "", **sent: str) -> Classification:
    """The classification of a one-GPU job with this script."""
    base = {"tres_per_node": "gpu:1", "script": script}
    return classify(from_message(base | sent), policy())


@pytest.mark.parametrize(
    ("script", "scenario", "vendors"),
    [
        ("module load cuda/12.4\ntorchrun --nproc-per-node=8 train.py", "training", "nvidia"),
        ("srun deepspeed --num_gpus=4 run.py", "training", "nvidia"),
        ("accelerate launch main.py", "training", "nvidia"),
        ("python -m torch.distributed.launch main.py", "training", "nvidia"),
        ("python train.py", "training", "nvidia"),
        ("python3 ./src/finetune.py --lora", "training", "nvidia"),
        ("module load rocm/6.0\npython train.py", "training", "amd"),
        ("ml rocm/6.2 python/3.11\npython x.py", "training", "amd"),
        ("export HSA_OVERRIDE_GFX_VERSION=9.4.2\npython x.py", "training", "amd"),
        (
            "source /usr/local/Ascend/ascend-toolkit/set_env.sh\npython pretrain.py",
            "training",
            "ascend",
        ),
        ("python -c 'import torch, torch_npu'\n", "training", "ascend"),
        ("msrun --worker_num=8 pretrain.py", "training", "ascend"),
        ("mindieservice_daemon", "inference", "ascend"),
        ("vllm serve Qwen/Qwen2.5-7B", "inference", "nvidia"),
        ("python -m vllm.entrypoints.openai.api_server --model x", "inference", "nvidia"),
        ("trtllm-serve /models/x", "inference", "nvidia"),
        ("module load rocm\nvllm serve x", "inference", "amd"),
        ("python batch_infer.py", "inference", "nvidia"),
        ("module load neuware/3.8\npython transcribe.py", "inference", "cambricon"),
        ("module load dtk/24.04\ntorchrun train.py", "training", "hygon"),
        ("python main.py", "training", "nvidia"),
        ("", "training", "nvidia"),
        # Comments and #SBATCH lines do not count.
        ("# vllm on rocm\n#SBATCH -J vllm\npython train.py", "training", "nvidia"),
        # Whole words only: trained, vllmish and cudafy are none of the rules' words.
        ("python trained.py\n./vllmish cudafy", "training", "nvidia"),
        # A server beats a word that also says training.
        ("vllm serve train-7b", "inference", "nvidia"),
    ],
)
def test_realistic_scripts(script: str, scenario: str, vendors: str) -> None:
    what = of(script)
    assert what.scenario == scenario
    assert "|".join(what.vendors) == vendors
    assert what.evidence


def test_the_evidence_names_the_line_and_the_word() -> None:
    what = of("#!/bin/bash\nmodule load rocm/6.0\nvllm serve x")
    assert "line 3 runs vllm" in " ".join(what.evidence)
    assert "line 2 loads rocm" in " ".join(what.evidence)


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("scenario=inference", {"scenario": "inference"}),
        ("vendors=amd", {"vendors": ("amd",)}),
        ("vendors=amd,ascend", {"vendors": ("amd", "ascend")}),
        ("vendors=amd|nvidia", {"vendors": ("amd", "nvidia")}),
        ("vendors=any", {"vendors": ()}),
        ("memory=24G", {"memory_gib": 24}),
        ("memory=24GiB", {"memory_gib": 24}),
        ("memory=40000m", {"memory_gib": 40}),
        ("memory=40", {"memory_gib": 40}),
        ("share=yes", {"share": True}),
        ("share=no", {"share": False}),
        ("types=a100", {"types": ("a100",), "vendors": ("nvidia",)}),
        ("types=a100,mi300x", {"types": ("a100", "mi300x"), "vendors": ("amd", "nvidia")}),
        ("types=910b", {"types": ("910b",), "vendors": ("ascend",)}),
        ("Scenario=Inference; memory=8g", {"scenario": "inference", "memory_gib": 8}),
    ],
)
@pytest.mark.parametrize("where", ["script", "comment"])
def test_directives(directive: str, expected: dict[str, object], where: str) -> None:
    if where == "script":
        what = of(f"#!/bin/sh\n#HET {directive}\npython main.py")
    else:
        what = of("python main.py", comment=f"het:{directive}")
    for field, value in expected.items():
        assert getattr(what, field) == value
    assert not [e for e in what.evidence if e.startswith("ignored")]


@pytest.mark.parametrize(
    ("directive", "part"),
    [
        ("scenario=serving", "valid: training, inference"),
        ("vendors=nvidai", "here: any, "),
        ("types=a1000", "a1000 is not known here"),
        ("memory=much", "such as memory=24G"),
        ("memory=-3", "such as memory=24G"),
        ("share=maybe", "share is yes or no"),
        ("color=red", "valid: scenario, vendors, types, memory, class, share"),
        ("vendors=,", "names none"),
        ("types=,", "names none"),
    ],
)
def test_an_odd_directive_is_evidence_and_changes_nothing(directive: str, part: str) -> None:
    what, plain = of(f"#HET {directive}\npython main.py"), of("\npython main.py")
    ignored = [e for e in what.evidence if e.startswith("ignored #HET on line 1")]
    assert len(ignored) == 1
    assert part in ignored[0]
    assert (what.scenario, what.vendors, what.types, what.memory_gib, what.share) == (
        plain.scenario, plain.vendors, plain.types, plain.memory_gib, plain.share,
    )  # fmt: skip


def test_a_directive_beats_the_script_and_a_comment_beats_both() -> None:
    script = "#HET vendors=amd scenario=inference\nmodule load cuda\ntorchrun train.py"
    assert of(script).vendors == ("amd",)
    assert of(script).scenario == "inference"
    assert of(script, comment="het:vendors=ascend").vendors == ("ascend",)
    assert of(script, comment="see ticket 7").vendors == ("amd",)


@pytest.mark.parametrize(
    ("tres", "types", "vendors", "scenario", "gib"),
    [
        ("gpu:a100:2", ("a100",), ("nvidia",), "training", 0),
        ("gpu:mi300x:8", ("mi300x",), ("amd",), "training", 0),
        ("gpu:910b:1", ("910b",), ("ascend",), "training", 0),
        ("gpu:a100_2:1", ("a100",), ("nvidia",), "training", 0),
        ("gpu:mystery:1", ("mystery",), (), "training", 0),
        ("npu:8", (), ("ascend",), "training", 0),
        ("dcu:1", (), ("hygon",), "training", 0),
        ("shard:24", (), ("nvidia",), "inference", 24),
        ("shard:l40s:24", ("l40s",), ("nvidia",), "inference", 24),
    ],
)
def test_what_the_request_itself_names(
    tres: str, types: tuple[str, ...], vendors: tuple[str, ...], scenario: str, gib: int
) -> None:
    what = of("python main.py", tres_per_node=tres)
    assert (what.types, what.vendors, what.scenario, what.memory_gib) == (
        types, vendors, scenario, gib,
    )  # fmt: skip


def test_the_request_beats_the_script() -> None:
    what = of("module load rocm\ntorchrun train.py", tres_per_node="gpu:a100:2")
    assert what.vendors == ("nvidia",)
    assert of("torchrun train.py", tres_per_node="shard:24").scenario == "inference"


@pytest.mark.parametrize(
    ("partition", "partitions", "scenario", "vendors"),
    [
        ("infer-nv", ("infer-nv",), "inference", ()),
        ("train-amd,train-nv", ("train-amd", "train-nv"), "training", ()),
        ("train-amd,infer-nv", ("train-amd", "infer-nv"), "training", ()),
        ("train-amd,cpu", (), "training", ("nvidia",)),
        ("", (), "training", ("nvidia",)),
    ],
)
def test_a_named_pool_chooses_scenario_and_vendor(
    partition: str, partitions: tuple[str, ...], scenario: str, vendors: tuple[str, ...]
) -> None:
    what = of("python main.py", partition=partition)
    assert (what.partitions, what.scenario, what.vendors) == (partitions, scenario, vendors)


@pytest.mark.parametrize("features", ["a100|mi300x", "amd", "train-ascend", "[a100|910b]"])
def test_a_constraint_that_names_types_is_left_to_decide_the_vendor(features: str) -> None:
    what = of("python main.py", features=features)
    assert what.vendors == ()
    assert any("--constraint" in e for e in what.evidence)
    assert of("python main.py", features="rack7").vendors == ("nvidia",)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"min_nodes": "2"}, "2 nodes"),
        ({"tres_per_node": "gpu:4"}, "4 devices"),
        ({"tres_per_node": "gpu:2", "tres_per_job": "gpu:2"}, "4 devices"),
        ({"tres_per_node": "gpu:3"}, "default_scenario"),
        ({"min_nodes": "two"}, "default_scenario"),
    ],
)
def test_the_shape_decides_when_nothing_else_does(sent: dict[str, str], why: str) -> None:
    what = of("./a.out", **sent)
    assert what.scenario == "training"
    assert why in what.evidence[0]


def test_types_are_asked_for_by_the_model_whatever_the_cluster_calls_it() -> None:
    nodes = (
        NodeRecord("n1", "IDLE", "gpu:nvidia_a100-sxm4-80gb:8", 64, partitions=("train-nv",)),
        NodeRecord("n2", "IDLE", "gpu:a100_3g.40gb:2", 64, partitions=("train-nv",)),
        NodeRecord("n3", "IDLE", "gpu:mi300x:8", 64, partitions=("train-amd",)),
    )
    here = take_inventory(Snapshot(0.0, (), nodes, partitions()), policy())
    sent = {"tres_per_node": "gpu:1", "script": "#HET types=a100,mi300x\npython main.py"}
    what = classify(from_message(sent), policy(), here)
    assert what.types == ("mi300x", "nvidia_a100-sxm4-80gb")
    assert what.vendors == ("amd", "nvidia")
    # A request is held against the nodes by Slurm, which knows but the name.
    named = classify(from_message({"tres_per_node": "gpu:a100:1"}), policy(), here)
    assert named.types == ("a100",)


@pytest.mark.parametrize(
    ("name", "vendors"),
    [("tesla", ("nvidia",)), ("Pascal", ("nvidia",)), ("amd", ("amd",)), ("amdgpu", ("amd",)),
     ("full", ())],
)  # fmt: skip
def test_a_brand_or_a_generation_for_a_type_tells_the_vendor(
    name: str, vendors: tuple[str, ...]
) -> None:
    assert of("python main.py", tres_per_node=f"gpu:{name}:1").vendors == vendors


def test_what_the_cluster_says_of_a_type_goes_before_its_name() -> None:
    nodes = (NodeRecord("n1", "IDLE", "gpu:ada:8", 64, partitions=("train-ascend",)),)
    here = take_inventory(Snapshot(0.0, (), nodes, partitions()), policy())
    what = classify(from_message({"tres_per_node": "gpu:ada:1"}), policy(), here)
    assert (what.types, what.vendors) == (("ada",), ("ascend",))


def test_words_of_memory_in_the_request_go_before_a_rule() -> None:
    sent = {"tres_per_node": "gpu:1,vram:24G"}
    known = replace(policy(), rules=(Rule("small", words=("a",), memory_gib=10),))
    what = classify(from_message(sent | {"script": "a"}), known)
    assert what.memory_gib == 24


def test_unknown_gres_names_say_nothing() -> None:
    assert of("python main.py", tres_per_node="license:3").types == ()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("a100_2", "a100"), ("a100", "a100"), ("mi_x", "mi_x"), ("_1", "_1"),
        ("rtx_3090", "rtx_3090"), ("quadro_rtx_6000", "quadro_rtx_6000"), ("b_2", "b_2"),
    ],
)  # fmt: skip
def test_a_device_of_its_own_type_is_its_model(name: str, model: str) -> None:
    """But a model may end in digits itself, in the catalogue or not."""
    assert model_of(name, {"a100", "rtx_3090", "b", "b_2"}) == model


def test_a_type_that_ends_in_digits_is_the_catalogues() -> None:
    types = {"rtx_3090": replace(policy().types["a100"], name="rtx_3090")}
    known = replace(policy(), types=policy().types | types)
    what = classify(from_message({"tres_per_node": "gpu:rtx_3090:2"}), known)
    assert what.types == ("rtx_3090",)
    assert what.vendors == ("nvidia",)


@pytest.mark.parametrize(
    "unit",
    [
        "a", "a.", ".a", "module load ", "module load x ", "#HET vendors=amd\n", "#HET " + "a=b ",
        "\n", "#\n", "torchrun\n", "-", "é", "\x00", "a.b.c.d ", "ml ", " \t", "vllm.", "=;",
        "; module load a", "&  ", "then ml ", " #", "\r", "a\n",
    ],
)  # fmt: skip
def test_a_hostile_script_is_classified_in_no_time(unit: str) -> None:
    script = unit * (65536 // len(unit) + 1)
    of(script)  # the first call of all also compiles and imports
    took = []
    for _ in range(5):
        started = time.process_time()
        what = of(script)
        took.append(time.process_time() - started)
    assert min(took) < 0.02
    assert len(what.evidence) < 300


@given(st.text(max_size=400), st.text(max_size=100), st.text(max_size=40))
def test_no_text_of_a_user_raises(script: str, comment: str, features: str) -> None:
    what = of(f"#HET {script}", comment=f"het:{comment}", features=features)
    assert what.scenario in {"training", "inference"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("module load rocm/6.0", {"module", "load", "rocm", "6.0", "6", "module:rocm"}),
        ("python -m vllm.entrypoints.x", {"python", "m", "vllm.entrypoints.x", "vllm"}),
        ("./train.py", {"train.py", "train"}),
        ("# train", set()),
        ("./x # train", {"x"}),
        (
            "module purge && module load cuda/12",
            {"module", "purge", "load", "cuda", "12"} | {"module:cuda"},
        ),
        (
            "if true; then module load dtk; fi",
            {"if", "true", "then", "module", "load", "dtk", "fi"} | {"module:dtk"},
        ),
        ("ml cuda gcc/13", {"ml", "cuda", "gcc", "13", "module:cuda", "module:gcc"}),
    ],
)
def test_the_words_of_a_line(text: str, words: set[str]) -> None:
    others = {"train", "rocm", "6", "cuda", "dtk", "x", "mod", "module:gcc", "module:rocm"}
    assert {word for _, word in read_script(text).first_lines(words | others)} == words


@pytest.mark.parametrize(
    ("text", "gib"),
    [("24", 24), ("24g", 24), ("24GB", 24), ("1m", 1), ("1024M", 1), ("1025m", 2), ("", None),
     ("x", None), ("1t", None), ("99999999", None), ("2.5g", None)],
)  # fmt: skip
def test_amounts_of_memory(text: str, gib: int | None) -> None:
    assert parse_gib(text) == gib


def test_hints_leave_odd_items_out() -> None:
    assert parse_hints("a=1;b;=d e=F=G") == ({"a": "1", "e": "f=g"}, ("b", "=d"))


@pytest.mark.parametrize(
    "line",
    ["#HET vendors=amd", "#het vendors=amd", "# HET vendors=amd", "#HET: vendors=amd",
     "#HET vendor=amd", "#HET vendors = amd", "#HET vendors =amd;scenario=inference",
     "#HET  vendors=amd memory=24G"],
)  # fmt: skip
def test_a_directive_is_read_as_people_write_it(line: str) -> None:
    assert of(line).vendors == ("amd",)
    assert of("#HET vendors=amd, nvidia").vendors == ("amd", "nvidia")
    assert of("# het is what we call our cluster").problems == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "#HET vendors=nvidai",
            "line 1: vendors=nvidai: nvidai is no vendor, did you mean nvidia?",
        ),
        ("#HET sceanrio=training", "sceanrio= is no directive, did you mean scenario?; valid: sc"),
        ("#HET scenario=infernce", "scenario=infernce is no scenario, did you mean inference?"),
        ("#HET memory=lots", "memory=lots is no amount; such as memory=24G"),
        ("#HET vendors=amd fast", "'fast' is no key=value"),
    ],
)
def test_a_wrong_directive_is_told_with_what_was_meant(line: str, told: str) -> None:
    (problem,) = of(line).problems
    assert told in problem
