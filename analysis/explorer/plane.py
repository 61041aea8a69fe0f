"""What does the run's phase diagram look like, and which networks lie under a point of it?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_hex, to_rgb

from analysis import style
from analysis.phase_diagram import default_axes
from analysis.phase_map import colours_of
from attractor_jax.axes import table_axes, varied_axes
from attractor_jax.phase import binned, phase_table
from attractor_jax.regimes import REGIMES

POOLED = "(pooled)"
MEASURES = {
    "regime": "regime of most cells",
    "chaotic": "share of chaos",
    "lambda_1": "median λ₁ (nats/step)",
    "kaplan_yorke": "median dimension",
}


def choices(df: pd.DataFrame) -> tuple[list[str | None], list[str | None]]:
    """What may lie along the bottom of the diagram, and what may lie up; nothing where the table is empty."""
    if df.empty:
        return [""], [""]
    axes: list[str | None] = [*(varied_axes(df) or table_axes(df)[-1:])]
    return axes, [*axes, POOLED]


def usual_axes(df: pd.DataFrame) -> tuple[str, str]:
    """What lies along the bottom and up until somebody chooses: networks one by one where only one parameter varies."""
    x, y = default_axes(df, None, None)
    alone = next((axis for axis in varied_axes(df) if axis in ("seed", "replicate") and axis != x), POOLED)
    return x, y or alone


@dataclass(frozen=True)
class Plane:
    """A measure over two axes of a table, each of whose distinct values is one column or row of the image.

    Attributes:
        df: a classified table, not empty.
        x, y: axes; y may be POOLED.
        measure: of MEASURES.
    """

    df: pd.DataFrame
    x: str
    y: str
    measure: str

    @cached_property
    def gathered(self) -> pd.DataFrame:
        """The table with finely spread axes in bins, and one row where all are pooled."""
        df = self.df.assign(**{POOLED: 0}) if self.y == POOLED else self.df
        df.attrs = self.df.attrs
        for axis in {self.x, self.y} - {POOLED}:
            if df[axis].dtype.kind == "f" and df[axis].nunique() > style.FINE:
                df = binned(df, axis)
        return df

    @cached_property
    def across(self) -> np.ndarray:
        """Distinct values along the bottom, ascending."""
        return np.sort(self.gathered[self.x].unique())

    @cached_property
    def up(self) -> np.ndarray:
        """Distinct values upwards, ascending."""
        return np.sort(self.gathered[self.y].unique())

    @cached_property
    def values(self) -> np.ndarray:
        """(up, across), of the measure, NaN where there is nothing; a regime by its number."""
        image = np.full((len(self.up), len(self.across)), np.nan)
        if self.measure == "regime":
            found = self._most_frequent()
        else:
            found = phase_table(self.gathered, self.x, self.y, self.measure, resamples=1)
        row, column = np.searchsorted(self.up, found[self.y]), np.searchsorted(self.across, found[self.x])
        image[row, column] = found["value"].to_numpy(float)
        return image

    @property
    def image(self) -> np.ndarray:
        """(up, across), RGBA in 32 bits, the lowest row first."""
        colours, norm = self._colours
        known = np.nan_to_num(self.values, nan=0.0, neginf=-1e300, posinf=1e300)
        rgba = (np.asarray(colours(norm(known))) * 255).round().astype(np.uint8)
        nothing = np.array([*to_rgb(style.NO_VALUE), 1.0]) * 255
        rgba = np.where(np.isnan(self.values)[..., None], nothing.round().astype(np.uint8), rgba)
        return np.ascontiguousarray(rgba).view(np.uint32)[..., 0]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Colours and what they mean: regimes that occur, or numbers from low to high."""
        if self.measure == "regime":
            there = [REGIMES[int(i)] for i in np.unique(self.values[~np.isnan(self.values)])]
            found = [(style.REGIME_COLOURS[name], style.REGIME_NAMES.get(name, name)) for name in there]
        else:
            colours, norm = self._colours
            low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
            at = [low, low / 2, 0.0, high / 2, high] if low < 0 else np.linspace(low, high, 5)
            found = [(to_hex(colours(float(norm(value)))), f"{value:.2g}".replace("-", "−")) for value in at]
        return found + ([(style.NO_VALUE, "no value")] if np.isnan(self.values).any() else [])

    def under(self, x: float, y: float) -> pd.DataFrame:
        """The cells at a point, in units of columns and rows of the image, each of which is centred on a whole number;
        none beside the image.
        """
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        if not (0 <= column < len(self.across) and 0 <= row < len(self.up)):
            return self.df.iloc[:0]
        here = (self.gathered[self.x] == self.across[column]) & (self.gathered[self.y] == self.up[row])
        return self.df[here.to_numpy()]

    def place(self, row: pd.Series) -> tuple[int, int]:
        """Column and row of the image in which a cell lies."""
        at = self.gathered[self.gathered["cell_id"] == row["cell_id"]].iloc[0]
        return int(np.searchsorted(self.across, at[self.x])), int(np.searchsorted(self.up, at[self.y]))

    def named(self, cells: pd.DataFrame) -> str:
        """Where these cells of one point lie, in words."""
        at = self.gathered.loc[cells.index[0]]
        axes = [axis for axis in (self.x, self.y) if axis != POOLED]
        many = f"{len(cells):,} cell" + ("s" if len(cells) != 1 else "")
        return ", ".join(f"{axis} = {style.number(at[axis])}" for axis in axes) + f": {many}"

    @property
    def _colours(self) -> tuple[Colormap, Normalize]:
        if self.measure == "regime":
            return ListedColormap([style.REGIME_COLOURS[name] for name in REGIMES]), Normalize(0, len(REGIMES) - 1)
        return colours_of(self.measure, self.values)

    def _most_frequent(self) -> pd.DataFrame:
        """The regime that most cells of a point have; of several the one nearer to chaos."""
        df = self.gathered
        code = df["regime"].cat.codes.to_numpy()
        table = pd.DataFrame({self.x: df[self.x].to_numpy(), self.y: df[self.y].to_numpy(), "value": code})
        counted = table.value_counts().rename("cells").reset_index().sort_values(["cells", "value"])
        return counted.drop_duplicates([self.x, self.y], keep="last")


def labels(values: np.ndarray, most: int = 8) -> dict[int, str]:
    """A few columns (or rows) of the image with what stands there, for the ticks of an axis."""
    every = -(-len(values) // most)
    return {
        index: f"{values[index]:.2g}" if values.dtype.kind == "f" else str(values[index])
        for index in range(0, len(values), every)
    }
