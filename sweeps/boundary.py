"""How is the boundary between the labels of an image made? Its pixels counted, and its cells simulated beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attractor_jax.axes import table_axes
from attractor_jax.plan import Plan
from sweeps.again import measured_again

if TYPE_CHECKING:
    import pandas as pd

# Axes that span an image: along the bottom, along the side, and whether both are seen by their logarithms.
IMAGES = (("u", "v", False), ("lr", "lr_hidden", True))
# Values of each from which on two axes are an image.
FEWEST_VALUES = 17
# Radii of uncertainty, as shares of the image's width: the largest see the region, the smallest are a tenth of a pixel
# of 1,024.
RADII = 2.0 ** -np.arange(5, 14)
BOX = 8  # pixels along a box of the basin entropy


@dataclass(frozen=True)
class Image:
    """Labels over two axes of a run, everything else equal.

    Attributes:
        cells: of the image, in the order of its pixels.
        across, up: names of the axes.
        logarithmic: coordinates are logarithms to base ten.
        labels: (rows, columns), the smallest value of `up` first.
    """

    cells: pd.DataFrame
    across: str
    up: str
    logarithmic: bool
    labels: np.ndarray

    def coordinates(self) -> np.ndarray:
        """Lowest and highest coordinate of each axis, (2, 2)."""
        ends = np.array([[self.cells[axis].min(), self.cells[axis].max()] for axis in (self.across, self.up)], float)
        return np.log10(ends) if self.logarithmic else ends


def axes_of_image(df: pd.DataFrame) -> tuple[str, str, bool] | None:
    """Names of the two axes along which a table is an image; None if it is none."""
    for across, up, logarithmic in IMAGES:
        if {across, up} <= set(df.columns) and min(df[across].nunique(), df[up].nunique()) >= FEWEST_VALUES:
            return across, up, logarithmic
    return None


def images(df: pd.DataFrame) -> list[tuple[dict[str, Any], Image]]:
    """The images of a table, one for each combination of the other axes, and what these are.

    Raises:
        ValueError: a table whose cells are not all there.
    """
    found = axes_of_image(df)
    if found is None:
        raise ValueError("`df` must have an image: two axes, u and v or lr and lr_hidden, with 17 values or more each")
    across, up, logarithmic = found
    others = [axis for axis in table_axes(df) if axis not in (across, up)]
    labelled = df.assign(label=labels_of(df))
    pictures = []
    for number in np.unique(key := labelled.groupby(others, sort=True).ngroup() if others else np.zeros(len(df), int)):
        cells = labelled[key == number].sort_values([up, across])
        shape = (cells[up].nunique(), cells[across].nunique())
        if len(cells) != shape[0] * shape[1]:
            raise ValueError(f"`df` must have every cell of {shape[0]} x {shape[1]} pixels, got {len(cells)}")
        image = Image(cells, across, up, logarithmic, cells["label"].to_numpy(int).reshape(shape))
        pictures.append(({axis: cells[axis].iloc[0] for axis in others}, image))
    return pictures


def labels_of(df: pd.DataFrame) -> np.ndarray:
    """(cells,): of trainings 1 where the loss fell, -1 where it did not, for whether a growing loss has overflowed yet
    is a matter of steps; with a plane of starts 1 and 2 for the two branches of minima; of other systems the attractor.
    """
    from attractor_jax.attractors import label_attractors
    from attractor_jax.minima import attracted, label_minima, problem_of
    from attractor_jax.systems.problems import Factorisation
    from attractor_jax.trainings import trained

    if "lr_hidden" in df.columns:
        return np.where(trained(df, first_loss(df)) == 1, 1, -1)
    if "train_loss" in df.columns and isinstance(problem_of(df), Factorisation):
        first = np.array([theta[0] for theta in df["theta"]])
        minimum = np.where(first > 0, 1, 2)
        return np.where(df["status"].isin(["diverged"]), -1, np.where(attracted(df), minimum, 0))
    label = label_minima if "train_loss" in df.columns else label_attractors
    return label(df)["attractor"].to_numpy(int)


def first_loss(df: pd.DataFrame) -> np.ndarray:
    """The loss before the first step of each training, (cells,)."""
    import jax.numpy as jnp

    from attractor_jax.minima import problem_of
    from attractor_jax.systems import get

    system, problem = get(str(df["system"].iloc[0])), problem_of(df)
    losses = np.empty(len(df))
    axes = [*system.draw_axes, "init_scale"]
    number = df.groupby(axes).ngroup().to_numpy()
    for one in np.unique(number):
        at = np.flatnonzero(number == one)
        named = {axis: df[axis].iloc[at[0]].item() for axis in axes}
        start = named["init_scale"] * system.draw(**{axis: named[axis] for axis in system.draw_axes})["start"]
        losses[at] = float(problem.loss(jnp.asarray(start), *problem.train()))
    return losses


def boundary_table(plan: Plan, df: pd.DataFrame, devices: Sequence[Any], *, points: int) -> pd.DataFrame:
    """What can be said of the boundary in each image of a table.

    Returns:
        One row an image and method: the other axes, `method`, `value`, `standard_error`, and `reason` where the value
        is NaN. Methods: basin_entropy and boundary_basin_entropy (of boxes of 8 x 8 pixels), box_dimension,
        uncertainty_exponent and uncertainty_dimension = 2 - exponent.
    """
    import pandas as pd

    from attractor_jax.boundaries import basin_entropy, boundary_dimension, uncertainty_exponent

    rows: list[dict[str, Any]] = []
    for others, image in images(df):
        entropy = basin_entropy(image.labels, box=BOX)
        found = [
            ("basin_entropy", entropy.entropy, np.nan, entropy.reason),
            ("boundary_basin_entropy", entropy.boundary_entropy, np.nan, entropy.reason),
        ]
        try:
            box = boundary_dimension(image.labels)
            found.append(("box_dimension", box.dimension, box.standard_error, box.reason))
        except ValueError as no_sizes:
            found.append(("box_dimension", np.nan, np.nan, str(no_sizes)))
        if len(np.unique(image.labels)) > 1:
            low, high = image.coordinates().T
            random = low + (high - low) * np.random.default_rng(0).random((points, 2))
            again = uncertainty_exponent(_Simulated(plan, image, devices), random, epsilons=RADII * (high - low).min())
            alpha, error, reason = again.exponent, again.standard_error, again.reason
        else:
            alpha, error, reason = np.nan, np.nan, entropy.reason
        found.append(("uncertainty_exponent", alpha, error, reason))
        found.append(("uncertainty_dimension", 2 - alpha, error, reason))
        rows += [
            {**others, "method": method, "value": value, "standard_error": error, "reason": reason}
            for method, value, error, reason in found
        ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Simulated:
    """Points of an image, simulated by the run's own measurement: called as label_of(points), (n, 2) -> (n,)."""

    plan: Plan
    image: Image
    devices: Sequence[Any]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        import pandas as pd

        image = self.image
        values = 10.0**points if image.logarithmic else points
        cells = image.cells
        axes = table_axes(cells)
        same = {axis: cells[axis].head(1).item() for axis in axes if axis not in (image.across, image.up)}
        listed = [{**same, image.across: x, image.up: y} for x, y in values.tolist()]
        found = measured_again(replace(self.plan.config, grid={"cells": listed}, transitions=None), self.devices)
        if "theta" in found.columns:
            found = found.assign(label=labels_of(found))
        else:  # attractors are numbered by what else there is
            both = pd.concat([cells[found.columns.intersection(cells.columns)], found], ignore_index=True)
            both.attrs = dict(found.attrs)
            found = found.assign(label=labels_of(both)[len(cells) :])
        asked = pd.DataFrame({image.across: values[:, 0], image.up: values[:, 1]})
        return asked.merge(found, on=[image.across, image.up], how="left")["label"].to_numpy(int)
