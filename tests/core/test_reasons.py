"""Why a job waits: each reason has a code of its own and a sentence that reads as one."""

from __future__ import annotations

from inspect import isabstract

import pytest

from slurm_het.core import reasons
from slurm_het.core.reasons import (
    ArrayLimit,
    AsksForSeveral,
    NoAccelerator,
    NoFittingDevice,
    NoSuchPartition,
    NoUsablePool,
    PartitionRefuses,
    PartitionShut,
    PlacedByNobody,
    PlacedBySlurm,
    Reason,
    RefusesNodes,
    TooFewDevices,
    TooLate,
    TooManyDevices,
    TooManyNodes,
    Unreadable,
)
from slurm_het.core.reasons.codes import code_of

REFUSES = (PartitionRefuses("train-nv", "MaxTime=60 min"), NoSuchPartition("infer-nv"))


def test_each_reason_has_a_code_of_its_own() -> None:
    classes = [c for c in vars(reasons).values() if isinstance(c, type) and issubclass(c, Reason)]
    codes = [c.code for c in classes if not isabstract(c)]
    assert len(set(codes)) == len(codes) > 15
    assert all(code.replace("-", "").isalpha() and code.islower() for code in codes)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (ArrayLimit(1), "its array runs at most 1 task at once"),
        (ArrayLimit(3), "its array runs at most 3 tasks at once"),
        (NoFittingDevice(("t4",)), "no pool has a device for it (t4)"),
        (NoUsablePool(REFUSES), "it may use no fitting pool (train-nv: MaxTime=60 min;"
                                " infer-nv: Slurm has no such partition)"),
        (NoUsablePool((*REFUSES, PartitionShut("infer-mlu", "State=DOWN"))),
         "it may use no fitting pool (train-nv: MaxTime=60 min; infer-nv: Slurm has no such"
         " partition; infer-mlu: State=DOWN); it waits until infer-mlu is UP"),
        (PlacedByNobody(NoAccelerator(), (PartitionShut("a", "State=DRAIN"),)),
         "it asks for no accelerator; plain Slurm may place it in no pool (a: State=DRAIN); it"
         " waits until a is UP"),
        (Unreadable("constraint 'a*2' has counts"), "constraint 'a*2' has counts"),
        (AsksForSeveral("GRES names"), "it asks for several GRES names at once"),
        (TooManyDevices(65, 64), "it asks for 65 devices on one node, and at most 64 can be"
                                 " planned"),
        (TooFewDevices(1, 2), "it asks for 1 device on 2 nodes"),
        (TooManyNodes(8, 2), "it needs 8 nodes, and at most 2 are allowed"),
        (PlacedBySlurm(NoAccelerator()), "it asks for no accelerator; plain Slurm places it"),
        (RefusesNodes("BadConstraints", 1), "Slurm does not start it on the nodes chosen for it"
                                            " (BadConstraints)"),
        (RefusesNodes("BadConstraints", 2), "Slurm does not start it on the nodes chosen for it"
                                            " (BadConstraints, 2 times)"),
        (PlacedBySlurm(TooLate()), "it cannot end before its --deadline any more, so Slurm cancels"
                                   " it; plain Slurm places it"),
        (PlacedByNobody(NoAccelerator(), REFUSES[:1]), "it asks for no accelerator; plain Slurm may"
                                                      " place it in no pool (train-nv: MaxTime=60"
                                                      " min)"),
    ],
)  # fmt: skip
def test_the_sentence_is_made_of_the_facts(reason: Reason, sentence: str) -> None:
    assert str(reason) == sentence


@pytest.mark.parametrize("state", [(), (PartitionShut("infer-mlu", "State=DOWN"),)])
def test_who_is_refused_by_states_alone_does_not_wait_for_ever(state: tuple[Reason, ...]) -> None:
    code = "no-node" if state else "never"
    assert code_of(NoUsablePool((*REFUSES, *state))) == code
    assert code_of(PlacedByNobody(NoAccelerator(), (*REFUSES, *state))) == code


def test_a_sentence_of_many_facts_is_bounded() -> None:
    assert len(str(NoFittingDevice(("x" * 50,) * 50))) == reasons.MAX_SENTENCE
