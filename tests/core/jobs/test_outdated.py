"""Jobs in the gate whose constraint is of a day when there were other nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.jobs.admission import Admitted, admit, admit_record, fitting
from slurm_het.core.jobs.asked import Anew, adoption, asked_anew
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.outdated import Outdated, brought_up_to_date
from slurm_het.core.jobs.pools import Suits
from slurm_het.core.jobs.request import from_record
from slurm_het.core.model import Job, NodeRecord
from tests.support.world import gated, inventory, policy, snapshot

CUDA = "module load cuda\n"
Change = Callable[[NodeRecord], NodeRecord | None]


def with_h100(node: NodeRecord) -> NodeRecord:
    features = node.features - {"a100"} | {"h100"}
    return replace(node, gres="gpu:h100:8", features=features) if node.name == "nv2" else node


def without_a100(node: NodeRecord) -> NodeRecord | None:
    return None if node.name.startswith("nv") else node


def renamed(node: NodeRecord) -> NodeRecord:
    features = node.features - {"a100"} | {"a100_80"}
    return replace(node, features=features) if node.name.startswith("nv") else node


def drained(node: NodeRecord) -> NodeRecord:
    return replace(node, state="IDLE+DRAIN", cpus_alloc=3)


def amd_alone(node: NodeRecord) -> NodeRecord | None:
    return node if "amd" in node.features or not node.gres else None


def after(change: Change) -> Inventory:
    """The inventory once the site has changed its nodes."""
    shot = snapshot()
    nodes = tuple(made for node in shot.nodes if (made := change(node)))
    return take_inventory(replace(shot, nodes=nodes), policy())


def admitted(
    number: int = 1, script: str = CUDA, there: Inventory | None = None, **fields: object
) -> Job:
    """A job as the hook leaves it in the gate."""
    job = gated(number, **fields)
    made = admit_record(job, script, policy(), there or inventory())
    assert isinstance(made, Admitted)
    features = made.fields.get("features", job.features)
    return replace(job, admin_comment=made.fields["admin_comment"], features=features)


def updated(job: Job, fields: dict[str, str]) -> Job:
    features = fields.get("Features", job.features)
    return replace(job, admin_comment=fields["AdminComment"], features=features)


def other_amd(node: NodeRecord) -> NodeRecord:
    return replace(node, features=node.features | {"x"}) if "amd1" in node.name else node


def found(jobs: list[Job], there: Inventory, most: int = 50) -> list[Job]:
    return Outdated().first(jobs, there, policy(), most)


@pytest.mark.parametrize(
    ("change", "now"), [(with_h100, "[a100|h100]"), (without_a100, "l40s"), (renamed, "")]
)
@pytest.mark.parametrize("own", ["", "nvidia"])
def test_it_gets_the_constraint_that_it_would_be_given_now(
    change: Change, now: str, own: str
) -> None:
    job, there = admitted(tres_per_node="gpu:4", features=own), after(change)
    anew = admitted(tres_per_node="gpu:4", features=own, there=there)
    assert own or (job.features, anew.features) == ("a100", now)
    assert found([job], there) == [job]
    fields = brought_up_to_date(job, policy(), there)
    assert fields
    made = updated(job, fields)
    assert made.features == anew.features
    assert found([made], there) == []


def test_whatever_runs_on_the_nodes_and_in_whatever_state_they_are() -> None:
    assert found([admitted(tres_per_node="gpu:4")], after(drained)) == []


def test_what_its_user_has_changed_since_is_left_to_him() -> None:
    job, there = admitted(tres_per_node="gpu:4"), after(with_h100)
    assert found([replace(job, features="ib")], there) == [], "that is adopted as his"
    assert found([replace(job, features="")], there) == [], "he has taken ours off"


def test_what_he_has_asked_for_stays() -> None:
    job = admitted(tres_per_node="gpu:4")
    asked = asked_anew(Anew(job, CUDA, "vendors=nvidia memory=70G"), policy(), inventory()).fields
    job = replace(job, admin_comment=asked["admin_comment"], features=asked["features"])
    there = after(with_h100)
    assert found([job], there) == [job]
    fields = brought_up_to_date(job, policy(), there)
    assert fields
    mark = decode_comment(fields["AdminComment"])
    assert mark
    assert (mark.asked, mark.classification.memory_gib) == ("vendors=nvidia memory=70G", 70)


def test_where_it_can_run_nowhere_any_more_it_is_read_anew_or_has_its_own_again() -> None:
    there = after(amd_alone)
    job = admitted(tres_per_node="gpu:a100:4", features="nvidia")
    assert job.features != "nvidia"
    assert found([job], there) == [job]
    assert brought_up_to_date(job, policy(), there) is None
    made = updated(job, adoption(Anew(job, CUDA), policy(), there))
    assert made.features == "nvidia"
    assert found([made], there) == [], "not again and again"


def test_while_the_nodes_are_the_same_nothing_is_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [admitted(n, tres_per_node=f"gpu:{n % 8 + 1}") for n in range(1, 200)]
    there, look = after(renamed), Outdated()
    worked = list[object]()

    def counted(*told: Any) -> Any:
        worked.append(told)
        return fitting(*told)

    monkeypatch.setattr("slurm_het.core.jobs.outdated.fitting", counted)
    assert look.first(jobs, inventory(), policy(), 50) == []
    assert worked == []
    look.first(jobs, there, policy(), 50)
    assert 0 < len(worked) <= 50
    worked.clear()
    again = after(renamed)
    look.first(jobs, again, policy(), 50)
    assert worked == [], "the same nodes, read anew"


def test_those_of_the_highest_priority_come_first_and_so_many_at_a_time() -> None:
    jobs = [admitted(n, priority=n, tres_per_node="gpu:4") for n in range(1, 100)]
    first = found(jobs, after(with_h100), 10)
    assert [job.id for job in first] == list(range(99, 89, -1))


def test_it_is_the_same_word_for_the_same_nodes_in_any_order() -> None:
    shot = snapshot()
    turned = take_inventory(replace(shot, nodes=shot.nodes[::-1]), policy())
    assert found([admitted(there=turned)], inventory()) == []


def test_who_was_given_the_pools_of_the_other_scenario_keeps_them() -> None:
    """None of its own can hold it; another vendor's nodes have changed."""
    suits = Suits(lambda partition, _types: partition.startswith("train"))
    job = gated(1, tres_per_node="gpu:4")
    made = admit(from_record(job, f"{CUDA}vllm serve m\n"), policy(), inventory(), suits)
    assert isinstance(made, Admitted)
    assert [pool.partition for pool in made.pools] == ["train-nv"]
    fields = made.fields
    job = replace(job, admin_comment=fields["admin_comment"], features=fields["features"])
    there = after(other_amd)
    assert Outdated().first([job], there, policy(), 50) == [job], "were that not known"
    assert Outdated().first([job], there, policy(), 50, lambda _: suits) == []


def test_what_pools_can_do_for_one_is_not_said_of_another_that_asks_for_more() -> None:
    """What the hook writes for both is the same, to the letter."""
    small = admitted(1, tres_per_node="gpu:4")
    large = replace(small, id=2, memory_per_node_mib=900_000)

    def suits_of(job: Job) -> Suits:
        return Suits(lambda pool, _: job == small or pool.startswith("infer"))

    there = after(other_amd)
    assert Outdated().first([small], there, policy(), 50, suits_of) == []
    assert Outdated().first([large], there, policy(), 50, suits_of) == [large]
    assert Outdated().first([small, large], there, policy(), 50, suits_of) == [large]
