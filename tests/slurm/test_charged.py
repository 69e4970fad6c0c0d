"""The account and the QOS that Slurm gives a job which names none."""

from __future__ import annotations

import asyncio

import pytest

from slurm_het.core.jobs.submission import Charged
from slurm_het.errors import SlurmError
from slurm_het.slurm.charged import charged_to

CONF = {
    "AccountingStorageType": "accounting_storage/slurmdbd", "ClusterName": "het",
    "AccountingStorageEnforce": "associations,limits,qos",
}  # fmt: skip
UNNAMED = Charged()
PRINTED = """vision|research||limited,normal|limited
vision|vision||normal|
vision|vision|accel|normal,limited|limited
vision|theory||normal,limited|
"""


class FakeSacctmgr:
    """Prints what it was given; counts what it was asked."""

    def __init__(self, text: str | None = PRINTED, roots: str = "") -> None:
        self.text, self.roots = text, roots
        self.asked: list[tuple[str, ...]] = []

    async def ask(self, *argv: str) -> str:
        self.asked.append(argv)
        if self.text is None:
            raise SlurmError("it does not answer")
        return self.roots if "account=root" in argv else self.text


def charged(
    text: str | None = PRINTED, named: Charged = UNNAMED, partition: str = "other", **conf: str
) -> Charged | None:
    return asyncio.run(charged_to(FakeSacctmgr(text).ask, CONF | conf, "ann", named, partition))


@pytest.mark.parametrize(
    ("named", "partition", "given"),
    [
        (UNNAMED, "other", Charged("vision", "normal")),  # the only one
        (UNNAMED, "accel", Charged("vision", "limited")),
        (Charged("research"), "other", Charged("research", "limited")),
        (Charged("theory"), "other", None),  # one of several
        (Charged("theory", "normal"), "other", Charged("theory", "normal")),
        (Charged("", "high"), "other", Charged("vision", "high")),
        (Charged("strangers"), "other", None),
    ],
)
def test_the_defaults(named: Charged, partition: str, given: Charged | None) -> None:
    assert charged(named=named, partition=partition) == given


@pytest.mark.parametrize("text", [None, "", "\n", "a|b\n"])
def test_what_slurmdbd_does_not_tell_is_not_known(text: str | None) -> None:
    assert charged(text) is None


@pytest.mark.parametrize(
    ("roots", "given"),
    [("|normal\nroot|limited\n", Charged("theory", "normal")), ("|limited,normal\n", None)],
)
def test_of_several_qos_without_a_default_it_is_roots(roots: str, given: Charged | None) -> None:
    slurm = FakeSacctmgr(roots=roots)
    assert asyncio.run(charged_to(slurm.ask, CONF, "ann", Charged("theory"), "accel")) == given


def test_where_a_job_needs_no_association_it_has_none() -> None:
    assert charged("", AccountingStorageEnforce="none") == UNNAMED
    assert charged(None, AccountingStorageEnforce="none") is None


def test_slurmdbd_is_left_alone_where_there_is_none_or_both_are_named() -> None:
    slurm = FakeSacctmgr()
    for conf, named in ((CONF | {"AccountingStorageType": "(null)"}, UNNAMED),
                        (CONF, Charged("vision", "normal"))):  # fmt: skip
        assert asyncio.run(charged_to(slurm.ask, conf, "ann", named, "accel")) == named
    assert not slurm.asked
