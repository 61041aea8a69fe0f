"""What is known of gradient descent in the double well, in closed form: the lines beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class DoubleWell:
    """Gradient descent on (x^2 - 1)^2 / 4 + weight_decay x^2 / 2, with momentum: what is known of it.

    With h = 2 (1 - weight_decay), the curvature at the minima x^2 = 1 - weight_decay, the multipliers there are the
    roots z of z^2 - (1 + momentum - lr h) z + momentum. Without momentum, x = sqrt(1 - weight_decay) u makes it the map
    u' = (1 + e) u - e u^3 with e = lr (1 - weight_decay), whose 2-cycle has the exponent 1/2 ln|9 - 2 (1 + e)^2|.
    """

    momentum: float
    decay: float

    @classmethod
    def of(cls, df: pd.DataFrame) -> DoubleWell | None:
        """That of a table of one setting; None if it is of another system, noisy, or has no minima beside 0."""
        names = {str(name) for name in df["system"].unique()} if "system" in df.columns else set()
        levels = {name: np.unique(df[name]) for name in ("momentum", "weight_decay", "noise") if name in df.columns}
        if names != {"double_well"} or any(len(values) != 1 for values in levels.values()):
            return None
        momentum, decay, noise = (float(levels.get(n, np.zeros(1))[0]) for n in ("momentum", "weight_decay", "noise"))
        return cls(momentum, decay) if decay < 1 and not noise else None

    @property
    def doubling(self) -> float:
        """The learning rate at which the minima lose stability."""
        return (1 + self.momentum) / (1 - self.decay)

    @property
    def second_doubling(self) -> float | None:
        """The learning rate at which the 2-cycle does; None with momentum."""
        return None if self.momentum else (np.sqrt(5) - 1) / (1 - self.decay)

    @property
    def divergence(self) -> float | None:
        """The learning rate beyond which almost all trainings diverge; None with momentum."""
        return None if self.momentum else 2 / (1 - self.decay)

    def fixed_point(self, lr: np.ndarray) -> np.ndarray:
        """lambda_1 at the minima."""
        middle = 1 + self.momentum - lr * 2 * (1 - self.decay)
        root = np.sqrt(middle.astype(complex) ** 2 - 4 * self.momentum)
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(abs(middle + root), abs(middle - root)) / 2)

    def two_cycle(self, lr: np.ndarray) -> np.ndarray:
        """lambda_1 on the 2-cycle, without momentum."""
        with np.errstate(divide="ignore"):
            return np.log(np.abs(9 - 2 * (1 + lr * (1 - self.decay)) ** 2)) / 2

    def lost(self, lr: np.ndarray, deviation: float) -> np.ndarray:
        """Share of trainings that diverge up to `divergence`, of those that begin at normal numbers, without momentum:
        the ones that begin beyond sqrt(1 - weight_decay + 2 / lr).
        """
        from math import erfc

        edge = np.sqrt(1 - self.decay + 2 / lr)
        with np.errstate(divide="ignore"):
            return np.array([erfc(each) for each in edge / deviation / np.sqrt(2)])
