"""Solves the relaxation behind the quotas with HiGHS."""

from __future__ import annotations

import highspy
import numpy as np

from bench.quotas import Relaxation


def solve(lp: Relaxation) -> list[float]:
    """The columns' values at the optimum."""
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(lp.columns), len(lp.limits)
    model.col_cost_ = np.array([-column.gain for column in lp.columns])
    model.col_lower_ = np.zeros(len(lp.columns))
    model.col_upper_ = np.array([column.upper for column in lp.columns])
    model.row_lower_ = np.full(len(lp.limits), -np.inf)
    model.row_upper_ = np.array(lp.limits, dtype=float)
    starts = np.cumsum([0, *(len(column.terms) for column in lp.columns)])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = np.array([row for c in lp.columns for row in c.terms])
    model.a_matrix_.value_ = np.array([v for c in lp.columns for v in c.terms.values()])
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.passModel(model)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS: {highs.getModelStatus()}")
    return list(highs.getSolution().col_value)
