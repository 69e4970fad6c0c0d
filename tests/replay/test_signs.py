"""When a replay says that jobs would wait shorter, or longer."""

from __future__ import annotations

import pytest

from slurm_het.replay.signs import sign_of


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ([-40.0, -3.0, -9.0, -80.0], "sooner"),
        ([40.0, 3.0, 9.0, 80.0], "later"),
        ([-40.0, -3.0, 0.5, -80.0], "unclear"),  # one does not agree
        ([-400.0, -300.0, -900.0], "unclear"),  # too few to tell
        ([-1.0, -2.0, -1.0, -2.0], "unclear"),  # less than what is none
        ([], "unclear"),
    ],
)
def test_all_parts_must_agree(changes: list[float], sign: str) -> None:
    assert sign_of(changes, 5.0) == sign
