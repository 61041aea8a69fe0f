"""Which cells need more steps? Rounds of measurement: what is decided retires, the rest go on where they stand.

Every round doubles the steps of the cells that are left (see `measurement.halve`); nothing is restarted. Cells that are
left are packed into blocks of one fixed shape in the order of their part, so that a table depends on the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from attractor_jax.config import MeasureConfig
from attractor_jax.defaults import TORUS_FLOOR
from attractor_jax.dimension import STANDARD_ERRORS, zero_tolerance
from attractor_jax.regimes import classify_columns


@dataclass(frozen=True)
class Verdict:
    """What becomes of some cells after a round.

    Attributes:
        go_on: (cells,), bool, not decided yet, or not to the standard error that was asked for.
        discard: (cells,), bool, the early half of the measurement is to be thrown away: it disagrees with the late one.
    """

    go_on: np.ndarray
    discard: np.ndarray


def judge(columns: Mapping[str, np.ndarray], measure: MeasureConfig) -> Verdict:
    """Which cells are done, from the columns of a table of cells, by the default thresholds of `regimes.classify`.

    A cell is done when its early and late halves agree, its regime is not unsettled, and the standard error of lambda_1
    is at most `measure.target_se`. A closed curve must also show a lambda_1 as small as theirs are, in so many steps
    that the range that counts as zero is no wider than three of those errors; with more exponents, a torus_dimension as
    well. A cell whose lambda_1 cannot be known (diverged, underflow) is done at once.
    """
    assert measure.target_se is not None
    labelled = classify_columns(columns)
    regime, settled = labelled["regime"], labelled["settled"].to_numpy(bool)
    error, steps = columns["lambda_1_se"], columns["steps"]
    precise = ~(error > measure.target_se)  # where an exponent is -inf it has no error
    narrow = zero_tolerance(error, steps) <= STANDARD_ERRORS * measure.target_se
    # Not "or three standard errors": weak chaos and cycles on their way have large ones in few steps.
    small = np.abs(columns["lambda_1"]) * steps <= TORUS_FLOOR
    curve = (regime == "quasiperiodic").to_numpy(bool)
    vague = curve & ~(narrow & small)
    if columns["exponents"].shape[-1] > 1:
        vague |= curve & labelled["torus_dimension"].isna().to_numpy(bool)
    known = settled & (regime != "unsettled").to_numpy(bool) & precise & ~vague
    hopeless = np.isnan(columns["lambda_1"])
    return Verdict(go_on=~(hopeless | known), discard=~settled)
