"""Which cells need more steps? Rounds of measurement: what is decided retires, the rest go on where they stand.

Every round doubles the steps of the cells that are left (see `lyapunov.halve`); nothing is restarted. Cells that are
left are packed into blocks of one fixed shape in the order of their part, so that a table depends on the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attractor_jax.config import MeasureConfig
from attractor_jax.dimension import STANDARD_ERRORS, zero_tolerance
from attractor_jax.regimes import CHAOTIC_REGIMES, classify

# Nats over all steps, as `ZERO_FLOOR`: a closed curve is told from weak chaos only when lambda_1 T is as small as it is
# on closed curves. In between (up to 10), a cell goes on.
CURVE_FLOOR = 2.0


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

    A cell is done when its early and late halves agree, its regime is not unsettled, the standard error of lambda_1 is
    at most `measure.target_se`, and, unless the orbit came back, the range that counts as zero is no wider than three
    of them. A closed curve must show a lambda_1 as small as theirs are. A cell whose exponents cannot be known
    (diverged, underflow) is done at once.
    """
    assert measure.target_se is not None
    table = pd.DataFrame({name: list(values) if values.ndim > 1 else values for name, values in columns.items()})
    labelled = classify(table)
    regime, error = labelled["regime"], columns["lambda_1_se"]
    tolerance = zero_tolerance(error, columns["steps"])
    hopeless = np.isin(columns["status"], ("diverged", "underflow"))
    came_back = regime.isin(["fixed_point", "periodic"]).to_numpy()
    # Closed curves and chaos are told apart by lambda_1 alone.
    resolved = tolerance <= STANDARD_ERRORS * measure.target_se
    apart = regime.isin(CHAOTIC_REGIMES).to_numpy() | (np.abs(columns["lambda_1"]) * columns["steps"] <= CURVE_FLOOR)
    precise = ~(error > measure.target_se)  # where an exponent is -inf it has no error
    settled = labelled["settled"].to_numpy()
    known = (regime != "unsettled").to_numpy() & settled & precise
    return Verdict(go_on=~(hopeless | (known & (came_back | (resolved & apart)))), discard=~settled)
