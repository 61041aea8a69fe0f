"""python -m sweeps.zoom RUN [--times 3] [--factor 8] [--at LR,LR_HIDDEN]: zoom into the boundary of an image.

Each further run is the same sweep with as many pixels, in a window that is `factor` times narrower, around the boundary
in the image of the run before; where learning rates are the axes, windows are measured in logarithms. Without --at the
window goes where it has most boundary: where small boxes in it are most mixed on average. Steps stay as they are: the
deeper a zoom, the more of them it may take until neighbours tell apart.

Each run directory is printed in a line of its own, and the same command computes nothing twice. Exit code 0: complete;
1: the run cannot be read, has no image or no boundary, or something failed while running; 2: the arguments are wrong,
or the windows become too narrow for float64; 130: stopped.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attractor_jax.parts import TableError
from attractor_jax.plan import Plan, make_plan
from attractor_jax.store import read_manifest, read_plan
from sweeps.arguments import ArgumentProblem, RunParser, answered, read_assignments, refuse
from sweeps.telling import one_line

if TYPE_CHECKING:
    from sweeps.boundary import Image

# A window's entropy is the mean over all boxes of an eighth of its width: whole windows that a smooth boundary halves
# are as mixed as any.
BOXES = 8


def main(argv: list[str] | None = None) -> int:
    return answered(lambda: _zoom(argv))


def _zoom(argv: list[str] | None) -> int:
    parser = RunParser("python -m sweeps.zoom", "Zoom into the boundary of an image: further runs, ever narrower.")
    parser.add_argument("--times", type=int, default=3, help="further runs (default: 3)")
    parser.add_argument("--factor", type=float, default=8.0, help="how much narrower each is (default: 8)")
    parser.add_argument("--at", metavar="ACROSS,UP", help="the point to zoom to (default: where most boundary is)")
    parser.add_argument(
        "--where", metavar="AXIS=VALUE", action="append", default=[],
        help="which image, of a run that has several; may be repeated",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise ArgumentProblem(f"`--times` must be at least 1, got {arguments.times}")
    if not 1 < arguments.factor < np.inf:
        raise ArgumentProblem(f"`--factor` must be above 1, got {arguments.factor:g}")
    at = _read_point(arguments.at)
    where = read_assignments("--where", arguments.where)
    run, plan = arguments.run, read_plan(arguments.run)
    from attractor_jax import backend
    from sweeps.run import run as compute

    try:
        backend.start(plan.config.backend)  # before anything else asks for a device: the loss at the start does
    except RuntimeError as error:
        return refuse(f"no device can be started ({str(error).splitlines()[0]})", 1)
    for _ in range(arguments.times):
        image = _image_of(run, where)
        plan, command = zoomed(plan, image, read_manifest(run)["command"], factor=arguments.factor, at=at)
        if code := compute(plan, command=command):
            return code
        run = Path(plan.config.output) / plan.config.name / plan.hash
    return 0


def zoomed(
    plan: Plan, image: Image, command: list[str], *, factor: float, at: tuple[float, float] | None = None
) -> tuple[Plan, list[str]]:
    """The plan of a window of an image with as many pixels, and the arguments of the sweep that computes it.

    Args:
        plan: of the run that has the image.
        command: of that run.
        factor: by which the window is narrower than the image, > 1.
        at: the point, along the bottom and along the side, that it lies around; the one with most boundary if None.

    Raises:
        TableError: an image without a boundary.
        ArgumentProblem: a point outside of the image, a window whose neighbouring pixels are equal numbers.
    """
    low, high = image.coordinates().T
    if at is None:
        middle = most_boundary(image, factor)
    else:
        middle = _in_image(image, at)
    width = (high - low) / factor
    # As a whole within the image: windows nest, also where the boundary meets its border.
    first = np.clip(middle - width / 2, low, high - width)
    ends = np.stack([first, first + width], axis=1)
    given: dict[str, Any] = {}
    for axis, (start, stop), n in zip((image.across, image.up), ends, image.labels.shape[::-1], strict=True):
        between = np.linspace(start, stop, n)
        values = np.exp(np.log(10) * between) if image.logarithmic else between
        if len(np.unique(values)) < n or len(np.unique(between)) < n:
            span = f"{axis} = {values[0]:.17g} to {values[-1]:.17g}"
            must = "must be less: neighbouring pixels are equal numbers in float64"
            raise ArgumentProblem(f"`--times` or `--factor` {must}, {n} from {span}")
        given[axis] = {"start": float(values[0]), "stop": float(values[-1]), "num": n}
        given[axis] |= {"spacing": "log"} if image.logarithmic else {}
    from attractor_jax.axes import table_axes

    cells = image.cells
    same = {axis: cells[axis].head(1).item() for axis in table_axes(cells) if axis not in given}
    grid = {**same, **given}
    config = replace(plan.config, grid=grid, plan=replace(plan.config.plan, shaped_for=None), extend=None)
    words = [word for word in command if not word.lstrip("+~").startswith(("grid.", "plan.shaped_for", "extend="))]
    return make_plan(config), [*words, *(f"grid.{axis}={_as_word(value)}" for axis, value in grid.items())]


def most_boundary(image: Image, factor: float) -> np.ndarray:
    """The coordinates (2,) of the middle of the window with the highest basin entropy, of all that fit into the image;
    the first of equals, from below and from the left.

    Raises:
        TableError: the image has one label.
    """
    labels = image.labels
    found = np.unique(labels)
    if len(found) < 2:
        raise TableError(f"the image of {image.across} and {image.up} has no boundary: every label is {found[0]}")
    side = [max(3, round((n - 1) / factor) + 1) for n in labels.shape]
    box = max(2, min(side) // BOXES)
    entropy = np.zeros([n - box + 1 for n in labels.shape])
    for label in found:
        p = _sums(labels == label, (box, box)) / box**2
        entropy -= p * np.log(np.where(p > 0, p, 1))
    # To the ninth digit: equals must be equals, however they were summed.
    windows = _sums(entropy, [n - box + 1 for n in side]).round(9)
    row, column = np.unravel_index(np.argmax(windows), windows.shape)
    share = np.array([column + (side[1] - 1) / 2, row + (side[0] - 1) / 2]) / (np.array(labels.shape[::-1]) - 1)
    low, high = image.coordinates().T
    return low + (high - low) * share


def _sums(values: np.ndarray, box: Any) -> np.ndarray:
    """Of all boxes of some rows and columns."""
    sums = np.zeros([n + 1 for n in values.shape])
    sums[1:, 1:] = np.cumsum(np.cumsum(values, axis=0, dtype=float), axis=1)
    rows, columns = box
    return sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]


def _image_of(run: Path, where: Mapping[str, float | str]) -> Image:
    """The one image of a run.

    Raises:
        TableError: it has none, or is not complete.
        ArgumentProblem: it has several, or none there.
    """
    from attractor_jax.axes import select, varied_axes
    from attractor_jax.reading import read_run
    from sweeps.boundary import axes_of_image, images

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        df = read_run(run)
    for warning in told:
        one_line(str(warning.message))
    attrs = df.attrs
    try:
        df = select(df, where)
    except ValueError as problem:
        raise ArgumentProblem(str(problem).replace("`where`", "`--where`")) from None
    df.attrs = attrs
    if (axes := axes_of_image(df)) is None:
        raise TableError(f"{run} must be an image: two axes, u and v or lr and lr_hidden, with 17 values or more each")
    if several := [axis for axis in varied_axes(df) if axis not in axes]:
        raise ArgumentProblem(f"`--where` must leave one image of {run}, which has several along {', '.join(several)}")
    try:
        ((_, image),) = images(df)
    except ValueError as problem:
        raise TableError(str(problem).replace("`df`", str(run))) from None
    return image


def _read_point(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        across, up = (float(word) for word in text.split(","))
    except ValueError:
        raise ArgumentProblem(f"`--at` must be two numbers, such as 12.5,3, got {text!r}") from None
    return across, up


def _in_image(image: Image, at: tuple[float, float]) -> np.ndarray:
    """The coordinates of a point."""
    for axis, value in zip((image.across, image.up), at, strict=True):
        low, high = image.cells[axis].min(), image.cells[axis].max()
        if not low <= value <= high:
            raise ArgumentProblem(f"`--at` must have {axis} within the image, {low:.6g} to {high:.6g}, got {value:g}")
    return np.log10(at) if image.logarithmic else np.array(at)


def _as_word(value: Any) -> str:
    """A value as the command line of a sweep takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_word(each)}" for key, each in value.items()) + "}"
    return value if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    sys.exit(main())
