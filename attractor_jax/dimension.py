"""How many dimensions does the attractor have, and how fast does it make information? Answers read off a Lyapunov
spectrum.

Everything here depends on what counts as zero, so nothing here is stored: tables hold the raw exponents, and these
numbers are made when a table is read (see `regimes.classify`). Plain NumPy, vectorised over cells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor_jax.defaults import TORUS_FLOOR, ZERO_FLOOR

STANDARD_ERRORS = 3.0

# Spectra taken at a time: a few megabytes of temporaries at 16 exponents, whatever the length of the table.
_ROWS = 65_536


@dataclass(frozen=True)
class KaplanYorke:
    """The Kaplan-Yorke dimension of some attractors, or what is known of it.

    Attributes:
        dimension: (*cells,), NaN where the spectrum was cut off before its sum fell below zero, and where an exponent
            is NaN.
        lower: (*cells,), the dimension itself where it is known, the number of exponents k where the spectrum was cut
            off. NaN only where an exponent is NaN.
    """

    dimension: Float[np.ndarray, "*cells"]
    lower: Float[np.ndarray, "*cells"]


@dataclass(frozen=True)
class Spectra:
    """What the spectra of a table say, one entry a cell; NaN stands for an unknown count.

    Attributes:
        length: (cells,), exponents measured, 0 where there is no spectrum.
        n_positive: (cells,), exponents above their own tolerance. A lower bound where it equals k < D.
        n_zero: (cells,), exponents within their own tolerance.
        n_doubtful: (cells,), of these, exponents that a zero of a torus would rarely be: beyond max(`standard_errors`
            standard errors, `TORUS_FLOOR` / steps).
        kaplan_yorke_dimension, kaplan_yorke_lower: (cells,), as in `KaplanYorke`.
        entropy_bound: (cells,), nats per step.
    """

    length: Int[np.ndarray, "cells"]
    n_positive: Float[np.ndarray, "cells"]
    n_zero: Float[np.ndarray, "cells"]
    n_doubtful: Float[np.ndarray, "cells"]
    kaplan_yorke_dimension: Float[np.ndarray, "cells"]
    kaplan_yorke_lower: Float[np.ndarray, "cells"]
    entropy_bound: Float[np.ndarray, "cells"]


def zero_tolerance(
    standard_error: Float[np.ndarray, "..."] | float,
    steps: Int[np.ndarray, "..."] | int,
    *,
    standard_errors: float = STANDARD_ERRORS,
    floor: float = ZERO_FLOOR,
) -> Float[np.ndarray, "..."]:
    """How far from zero an exponent may lie and be called zero: some standard errors or `floor` / steps, the larger.

    The two cover each other. On a closed curve the exponent is zero and its block error far too small to say so:
    |lambda| T stays near 0.07 (95 %: 1.4) whatever T, so only the floor holds. In chaos the floor is nothing and the
    error is honest.

    Args:
        standard_error: nats per step; NaN (one block only) leaves the floor alone.
        steps: steps measured; broadcasts against `standard_error`.
        standard_errors: how many standard errors. Below about 3, cells next to a bifurcation are called chaotic by
            chance.
        floor: nats. Below about 2, closed curves are called chaotic or stable; far above 10, weak chaos is called
            quasiperiodic.
    """
    return np.asarray(np.fmax(standard_errors * np.abs(standard_error), floor / np.asarray(steps, float)))


def kaplan_yorke(
    exponents: Float[np.ndarray, "*cells k"],
    zero_tolerance: Float[np.ndarray, "..."] | float,
    dimension: Int[np.ndarray, "*cells"] | int,
) -> KaplanYorke:
    """Kaplan-Yorke dimension j + (l_1 + ... + l_j) / |l_(j+1)|, where j is the last index at which the sum is not
    negative.

    Exponents may come in any order (Gram-Schmidt's is descending but for noise) and are sorted first. Those within
    their tolerance count as 0, so that a closed curve has dimension 1 and not 0 or 1 by the sign of noise. -inf is an
    exponent like others: it adds nothing to the dimension. If k < D and even all k exponents do not sum to less than
    zero, the dimension is beyond the spectrum: NaN, with the lower bound k. If k = D, no more than D dimensions are
    there: the dimension is D.

    Args:
        exponents: (*cells, k), nats per step, k <= D. Too small a k censors.
        zero_tolerance: what counts as zero, nats per step, shape (*cells, k) or whatever broadcasts to it. Too small,
            and the dimension of closed curves jumps between 0 and 1.
        dimension: D, the dimension of the state.

    Raises:
        ValueError: more exponents than dimensions.

    References:
        Kaplan, Yorke (1979), Lecture Notes in Mathematics 730, 204. Frederickson, Kaplan, Yorke, Yorke (1983), J.
        Differ. Equations 49, 185.
    """
    exponents = np.asarray(exponents, float)
    k = exponents.shape[-1]
    cells = exponents.shape[:-1]
    D = np.broadcast_to(np.asarray(dimension), cells)
    if np.any(D < k):
        raise ValueError(f"`dimension` must be at least the number of exponents, {k}, got {int(np.min(D))}")
    if k == 0:
        nothing = np.full(cells, np.nan)
        return KaplanYorke(nothing, nothing.copy())
    descending = -np.sort(-np.where(np.abs(exponents) <= zero_tolerance, 0.0, exponents), axis=-1)
    partial = np.cumsum(descending, axis=-1)
    # Sums of a descending sequence are concave: once negative, they stay so. Counting those that are not gives j.
    j = np.sum(partial >= 0, axis=-1)
    sum_j = np.where(j > 0, np.take_along_axis(partial, np.maximum(j - 1, 0)[..., None], -1)[..., 0], 0.0)
    following = np.take_along_axis(descending, np.minimum(j, k - 1)[..., None], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = j + sum_j / np.abs(following)
    known = ~np.any(np.isnan(exponents), axis=-1)
    whole = np.where(j < k, inside, np.where(k == D, float(k), np.nan))
    lower = np.where(j < k, inside, float(k))
    return KaplanYorke(np.where(known, whole, np.nan), np.where(known, lower, np.nan))


def entropy_bound(
    exponents: Float[np.ndarray, "*cells k"], zero_tolerance: Float[np.ndarray, "..."] | float
) -> Float[np.ndarray, "*cells"]:
    """Upper bound of the metric entropy, nats per step: the sum of the exponents that are positive beyond their
    tolerance.

    Where the measure is smooth along unstable directions it is the entropy (Pesin). With k < D and all k positive it
    is itself cut short. NaN where an exponent is NaN. Too small a tolerance adds the noise of zero exponents, always
    upwards.

    References:
        Ruelle (1978), Bol. Soc. Bras. Mat. 9, 83. Pesin (1977), Russ. Math. Surv. 32, 55.
    """
    exponents = np.asarray(exponents, float)
    positive = np.where(exponents > zero_tolerance, exponents, 0.0)
    known = ~np.any(np.isnan(exponents), axis=-1)
    return np.where(known, np.sum(positive, axis=-1), np.nan)


def spectra_by_length(*columns: Iterable[object]) -> Iterator[tuple[Int[np.ndarray, "rows"], list[np.ndarray]]]:
    """Ragged columns of spectra as rectangular arrays: for each length k the rows that have it, and one (rows, k)
    array a column.

    The first column's lengths decide. Rows without a spectrum (null, or of length 0) are left out. Long tables come
    in several pieces.

    Raises:
        ValueError: two columns disagree about the length of a row.
    """
    stored = [_as_objects(column) for column in columns]
    lengths = [np.fromiter(map(_length, column), np.int64, len(column)) for column in stored]
    for other in lengths[1:]:
        if not np.array_equal(lengths[0], other):
            row = int(np.flatnonzero(lengths[0] != other)[0])
            given = f"{lengths[0][row]} and {other[row]} in row {row}"
            raise ValueError(f"`columns` must have spectra of equal length, got {given}")
    for k in np.unique(lengths[0]):
        if k == 0:
            continue
        rows = np.flatnonzero(lengths[0] == k)
        for start in range(0, len(rows), _ROWS):
            piece = rows[start : start + _ROWS]
            yield piece, [np.concatenate(column[piece]).astype(float, copy=False).reshape(-1, k) for column in stored]


def summarise_spectra(
    exponents: Sequence[object] | np.ndarray,
    standard_errors_of_exponents: Sequence[object] | np.ndarray,
    *,
    steps: Int[np.ndarray, "cells"],
    dimension: Int[np.ndarray, "cells"],
    recurrent: Bool[np.ndarray, "cells"],
    standard_errors: float = STANDARD_ERRORS,
    floor: float = ZERO_FLOOR,
) -> Spectra:
    """Counts of positive and zero exponents, Kaplan-Yorke dimension and entropy bound of every cell of a table.

    A cell whose orbit came back is a finite set of points, whatever its exponents: dimension 0 and entropy 0. Its
    counts are given as measured.

    Args:
        exponents: (cells,) of spectra, which may differ in length or be missing; nats per step, in Gram-Schmidt order.
        standard_errors_of_exponents: (cells,), of the same lengths.
        steps: (cells,), steps measured.
        dimension: (cells,), dimension D of the state.
        recurrent: (cells,), the orbit came back to where it was (period > 0).
        standard_errors, floor: what counts as zero; see `zero_tolerance`.

    Raises:
        ValueError: spectra and errors differ in length, or a spectrum is longer than its dimension.
    """
    cells = len(steps)
    length = np.zeros(cells, np.int64)
    n_positive, n_zero, n_doubtful, whole, lower, entropy = (np.full(cells, np.nan) for _ in range(6))
    for rows, (spectra, errors) in spectra_by_length(exponents, standard_errors_of_exponents):
        tolerance = zero_tolerance(errors, steps[rows, None], standard_errors=standard_errors, floor=floor)
        length[rows] = spectra.shape[1]
        known = ~np.any(np.isnan(spectra), axis=1)
        n_positive[rows] = np.where(known, np.sum(spectra > tolerance, axis=1), np.nan)
        zero = np.abs(spectra) <= tolerance
        strict = zero_tolerance(errors, steps[rows, None], standard_errors=standard_errors, floor=TORUS_FLOOR)
        n_zero[rows] = np.where(known, np.sum(zero, axis=1), np.nan)
        n_doubtful[rows] = np.where(known, np.sum(zero & (np.abs(spectra) > strict), axis=1), np.nan)
        estimate = kaplan_yorke(spectra, tolerance, dimension[rows])
        whole[rows], lower[rows] = estimate.dimension, estimate.lower
        entropy[rows] = entropy_bound(spectra, tolerance)
    for column in (whole, lower, entropy):
        column[recurrent] = 0.0
    return Spectra(length, n_positive, n_zero, n_doubtful, whole, lower, entropy)


def _as_objects(column: Iterable[object]) -> np.ndarray:
    """A column of spectra as a one-dimensional array of objects, even where all spectra have one length."""
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return column
    items = list(column)
    objects = np.empty(len(items), object)
    for i, item in enumerate(items):
        objects[i] = item
    return objects


def _length(spectrum: object) -> int:
    """Length of a spectrum; a null, which is None or NaN by who read the file, has none."""
    try:
        return len(spectrum)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return 0
