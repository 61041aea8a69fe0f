"""What kind of attractor is it? Regimes from measurements, by one decision table, made when a table is read and never
stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from attractor_jax.dimension import STANDARD_ERRORS, ZERO_FLOOR, summarise_spectra, zero_tolerance

REGIMES = ("fixed_point", "periodic", "quasiperiodic", "chaotic", "hyperchaotic", "unsettled", "diverged")
CHAOTIC_REGIMES = ("chaotic", "hyperchaotic")
ORDERED = ("fixed_point", "periodic", "quasiperiodic")
DECIDED = (*ORDERED, *CHAOTIC_REGIMES)
SUM_RULE_LIMIT = {"float64": 1e-6, "float32": 1e-4}
# Ranges of y over two stretches of equal length, one before and one after the measurement, agree to within this share
# on an attractor; an orbit whose range shrinks or grows by more is still on its way.
STEADY = 0.98
# Late half minus early half of lambda_1, in its own standard errors. Twenty blocks of settled chaos exceed five once in
# some thousands of cells; chaos that ends after half of them gives thirty, after three quarters fourteen.
MOST_DRIFT = 5.0
# A step whose determinant is smaller than eps^(5/3) can turn the last directions of a frame into rounding noise without
# breaking the sum rule. Measured on cycles at s = 8 against their exact multipliers: all 4 wrong tails of 146 lay below
# eps^1.9, and eps^(5/3) flags under 1 % of the cells of a sweep up to s = 8.
DROWNED = {"float64": 5 / 3 * np.log(np.finfo(np.float64).eps), "float32": 5 / 3 * np.log(np.finfo(np.float32).eps)}

OPINIONS = ("agrees", "disagrees")
# K of the 0-1 test, over 6,144 networks up to s = 8 at the default lengths: of the 5,516 that are not chaotic 94 % lie
# below 0.1 and 27 above 0.8; of the 628 chaotic ones 74 % lie above 0.8 and 26 below 0.1, all with lambda_1 < 0.03.
REGULAR_K, CHAOTIC_K = 0.1, 0.8
# Between tangent vectors and two orbits, over the same networks: at most one standard error in chaos, and 1 % where the
# contraction comes near to what two orbits can resolve. In float32, where they are far enough apart to see the map
# curve, 4 % in all but 2 of 3,072.
APART_ERRORS = 4.0
APART_SHARE = {"float64": 0.02, "float32": 0.05}

_NEEDED = (
    "steps",
    "dimension",
    "status",
    "lambda_1",
    "lambda_1_se",
    "lambda_1_drift",
    "lambda_1_drift_se",
    "exponents",
    "exponents_se",
    "sum_rule_residual",
    "log_det_min",
    "dtype",
    "period",
    "period_tolerance",
    "amplitude",
    "amplitude_before",
    "state_norm",
)


def classify(
    df: pd.DataFrame,
    *,
    standard_errors: float = STANDARD_ERRORS,
    floor: float = ZERO_FLOOR,
    sum_rule_limit: float | None = None,
    steady: float = STEADY,
    most_drift: float = MOST_DRIFT,
    regular_k: float = REGULAR_K,
    chaotic_k: float = CHAOTIC_K,
    apart_errors: float = APART_ERRORS,
) -> pd.DataFrame:
    """A copy of a table of cells with the regime of each, and with the numbers that depend on what counts as zero.

    With tol = max(`standard_errors` x standard error, `floor` / steps), for each exponent its own, the first line
    that holds decides:

        status is "diverged"                                          diverged
        amplitude <= sqrt(period_tolerance)                           fixed_point (at_origin: state_norm is as small)
        ... but lambda_1 > tol, and early and late halves agree       unsettled (it has not left an unstable point yet)
        period > 1                                                    periodic
        lambda_1 is NaN                                               unsettled
        |drift| of lambda_1 > max(`most_drift` of its errors, floor)  unsettled (early and late halves disagree)
        lambda_1 > tol, two or more exponents above theirs            hyperchaotic
        lambda_1 > tol                                                chaotic
        lambda_1 < -tol                                               unsettled (no recurrence yet, or a longer cycle)
        all D exponents are zero                                      unsettled (nothing contracts: no attractor)
        amplitude is not steady                                       unsettled (a slow approach)
        amplitude is NaN                                              unsettled (driven by noise: nothing can come back)
        otherwise: |lambda_1| <= tol                                  quasiperiodic (torus_dimension: zero exponents)

    The amplitude is the range of y over a stretch after the measurement; it is steady when it and the range over as
    long a stretch before differ by less than 1 - `steady` of the larger. A slow spiral into a fixed point has a
    lambda_1 within the zero range and comes back to within the tolerance before it is there: without the amplitude it
    would pass for a closed curve, or for a cycle. Spirals that change by less over the whole measurement, |lambda_1| T
    < 0.02, cannot be told from curves by any of this.
    Recurrence comes before exponents, because a cycle next to a bifurcation has zero exponents as well. Those are its
    `neutral_dimension`; it is no torus, and its `n_zero` is 0. "Chaotic" means chaotic within the steps measured:
    long chaotic transients are common.

    Args:
        df: one row a cell, with the columns of a run's `cells` table. Left unchanged.
        standard_errors: standard errors that an exponent must lie from zero. Below about 3, closed curves are called
            chaotic by chance.
        floor: nats; an exponent must lie `floor` / steps from zero. Below about 2, closed curves are called chaotic
            or unsettled.
        sum_rule_limit: nats per step; larger residuals flag the spectrum; 1e-6, or 1e-4 for cells in float32, if None.
            Below about 1e-9 rounding alone is flagged.
        steady: share. Near 1, closed curves with a slow modulation are called unsettled; too small, slow spirals are
            called closed curves.
        most_drift: standard errors of the drift. Below about 4, settled chaos is called unsettled by chance; far above
            5, chaos that ended while it was measured is called chaos.
        regular_k, chaotic_k: the 0-1 test calls an orbit regular up to the one and chaotic from the other on; between
            them it has no opinion. Above about 0.2, weak chaos is called regular; below about 0.7, long cycles and
            slow tori are called chaotic.
        apart_errors: standard errors by which the exponent of two orbits may differ from lambda_1. Below about 1,
            settled chaos disagrees by chance.

    Returns:
        The table with these columns added, or made anew:
            regime: ordered categorical over all of `REGIMES`.
            at_origin: bool, a fixed point, and every component of the state within sqrt(period_tolerance) of zero.
            settled: bool, early and late halves of the measurement agree about lambda_1, and it is not positive where
                the orbit came back. A cycle is one whether or not; its exponents are only clean where this holds.
            torus_dimension: Int64, zero exponents of a quasiperiodic cell: 1 for a closed curve. Null elsewhere, where
                k < D exponents are all zero and there may be more, and where one of them is larger than the zeros of a
                torus are (`defaults.TORUS_FLOOR` / steps): a curve that attracts slowly, or a longer measurement.
            n_positive: Int64, exponents above their tolerance; a lower bound where it equals k < D. Null where there
                is no spectrum.
            n_zero: Int64, exponents within their tolerance, which are the dimension of a torus; 0 where the orbit
                came back.
            neutral_dimension: Int64, the same count where the orbit came back, 0 elsewhere.
            kaplan_yorke_dimension, kaplan_yorke_lower: see `dimension.kaplan_yorke`; 0 where the orbit came back.
            entropy_bound: nats per step; see `dimension.entropy_bound`; 0 where the orbit came back.
            spectrum_flagged: bool, do not trust the last exponents, and deep in saturation (s far above 8) none:
                sum_rule_residual is above the limit, or a single step contracts below what the dtype resolves. False
                where lambda_1 alone was measured.
            second_opinion: categorical over `OPINIONS`, only where the table has `zero_one_k` or `lambda_two_orbit`.
                "disagrees" where one of them contradicts lambda_1, "agrees" where at least one confirms it and none
                contradicts, null where none can say. lambda_two_orbit contradicts it when they differ by more than
                max(`apart_errors` x standard error, `floor` / steps, 2 % of lambda_1), in float32 5 %; -inf says no
                more than that the orbit contracts. zero_one_k contradicts it when it is at least `chaotic_k` and
                lambda_1 <= tol, or at most `regular_k` and lambda_1 > tol.

    Raises:
        ValueError: a column is missing, or a threshold is negative or NaN.
    """
    missing = [name for name in _NEEDED if name not in df.columns]
    if missing:
        raise ValueError(f"`df` must have the columns of a table of cells, got one without {', '.join(missing)}")
    thresholds = {
        "standard_errors": standard_errors,
        "floor": floor,
        "sum_rule_limit": sum_rule_limit,
        "steady": steady,
        "most_drift": most_drift,
        "regular_k": regular_k,
        "chaotic_k": chaotic_k,
        "apart_errors": apart_errors,
    }
    for name, threshold in thresholds.items():
        if threshold is not None and not threshold >= 0:
            raise ValueError(f"`{name}` must be a number >= 0, got {threshold}")

    steps = df["steps"].to_numpy(np.int64)
    dimension = df["dimension"].to_numpy(np.int64)
    lambda_1 = _numbers(df["lambda_1"])
    period = np.nan_to_num(_numbers(df["period"]))
    diverged = df["status"].isin(["diverged"]).to_numpy(bool)
    amplitude, before = _numbers(df["amplitude"]), _numbers(df["amplitude_before"])
    small = np.sqrt(_numbers(df["period_tolerance"]))
    still = amplitude <= small
    # Where there was no stretch before the measurement, NaN, nothing speaks against it.
    moving = np.minimum(amplitude, before) < steady * np.maximum(amplitude, before)
    drift, drift_error = np.abs(_numbers(df["lambda_1_drift"])), _numbers(df["lambda_1_drift_se"])
    drifting = drift > np.fmax(most_drift * drift_error, floor / steps)
    recurrent = (still | (period > 1)) & ~diverged
    spectra = summarise_spectra(
        df["exponents"].to_numpy(object),
        df["exponents_se"].to_numpy(object),
        steps=steps,
        dimension=dimension,
        recurrent=recurrent,
        standard_errors=standard_errors,
        floor=floor,
    )
    tolerance = zero_tolerance(_numbers(df["lambda_1_se"]), steps, standard_errors=standard_errors, floor=floor)
    positive, zero = lambda_1 > tolerance, np.abs(lambda_1) <= tolerance
    leaving = still & positive & ~drifting
    regime = np.select(
        [
            diverged,
            still & ~leaving,
            (period > 1) & ~still,
            leaving | np.isnan(lambda_1) | drifting,
            positive & (spectra.n_positive >= 2),
            positive,
            zero & (spectra.n_zero != dimension) & ~moving & ~np.isnan(amplitude),
        ],
        [REGIMES.index(name) for name in (
            "diverged", "fixed_point", "periodic", "unsettled", "hyperchaotic", "chaotic", "quasiperiodic"
        )],
        REGIMES.index("unsettled"),
    )  # fmt: skip

    table = df.copy()
    table["regime"] = pd.Categorical.from_codes(regime, dtype=pd.CategoricalDtype(list(REGIMES), ordered=True))
    # Where the orbit left the finite numbers there is no attractor to count anything on.
    there = ~diverged
    table["at_origin"] = still & ~leaving & (_numbers(df["state_norm"]) <= small) & there
    known = np.isneginf(lambda_1) | np.isfinite(lambda_1)
    table["settled"] = known & ~drifting & ~(recurrent & positive) & there
    told = (spectra.n_doubtful == 0) & ((spectra.n_zero < spectra.length) | (spectra.length == dimension))
    table["torus_dimension"] = _counts(spectra.n_zero, (regime == REGIMES.index("quasiperiodic")) & told)
    table["n_positive"] = _counts(spectra.n_positive, there)
    table["n_zero"] = _counts(np.where(recurrent, 0.0, spectra.n_zero), there)
    table["neutral_dimension"] = _counts(np.where(recurrent, spectra.n_zero, 0.0), there)
    table["kaplan_yorke_dimension"] = np.where(there, spectra.kaplan_yorke_dimension, np.nan)
    table["kaplan_yorke_lower"] = np.where(there, spectra.kaplan_yorke_lower, np.nan)
    table["entropy_bound"] = np.where(there, spectra.entropy_bound, np.nan)
    residual = _numbers(df["sum_rule_residual"])  # NaN where k < D
    drowned = _numbers(df["log_det_min"]) < df["dtype"].astype(str).map(DROWNED).to_numpy(float)
    if sum_rule_limit is None:
        limit = df["dtype"].astype(str).map(SUM_RULE_LIMIT).to_numpy(float)
    else:
        limit = sum_rule_limit
    table["spectrum_flagged"] = (residual > limit) | ((spectra.length > 1) & drowned)
    if "zero_one_k" in df.columns or "lambda_two_orbit" in df.columns:
        apart = np.fmax(apart_errors * np.abs(_numbers(df["lambda_1_se"])), floor / steps)
        table["second_opinion"] = _second_opinion(df, tolerance, apart, regular_k=regular_k, chaotic_k=chaotic_k)
    return table


def _second_opinion(
    df: pd.DataFrame, tolerance: np.ndarray, apart: np.ndarray, *, regular_k: float, chaotic_k: float
) -> pd.Series:
    """What the 0-1 test and two orbits say to lambda_1, as `classify` describes it; nothing where it is NaN."""
    lambda_1 = _numbers(df["lambda_1"])
    chaotic, regular = lambda_1 > tolerance, lambda_1 <= tolerance
    agrees, disagrees = np.zeros((2, len(df)), bool)
    if "zero_one_k" in df.columns:
        K = _numbers(df["zero_one_k"])
        agrees |= (chaotic & (K >= chaotic_k)) | (regular & (K <= regular_k))
        disagrees |= (chaotic & (K <= regular_k)) | (regular & (K >= chaotic_k))
    if "lambda_two_orbit" in df.columns:
        other = _numbers(df["lambda_two_orbit"])
        with np.errstate(invalid="ignore"):  # -inf from -inf
            gap = np.abs(other - lambda_1)
        share = df["dtype"].astype(str).map(APART_SHARE).to_numpy(float)
        near = np.fmax(apart, share * np.abs(lambda_1))
        slower = np.maximum(lambda_1, other)
        # -inf for two orbits says no more than that they met: how fast, nobody knows. It contradicts only an orbit that
        # does not contract, and so does a lambda_1 of -inf.
        endless = np.isneginf(lambda_1) | np.isneginf(other)
        agrees |= np.where(endless, np.isneginf(slower), gap <= near)
        disagrees |= np.where(endless, slower >= -tolerance, gap > near)
    said = np.select([disagrees, agrees], [OPINIONS.index("disagrees"), OPINIONS.index("agrees")], -1)
    return pd.Series(pd.Categorical.from_codes(said, dtype=pd.CategoricalDtype(list(OPINIONS))), index=df.index)


def classify_columns(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The same from arrays, spectra (cells, k), by the default thresholds: for those who decide while they compute."""
    return classify(pd.DataFrame({name: list(each) if each.ndim > 1 else each for name, each in columns.items()}))


def of_regimes(table: pd.DataFrame, regimes: Sequence[str]) -> np.ndarray:
    """Which cells of a labelled table have one of these regimes, (cells,)."""
    return table["regime"].isin(list(regimes)).to_numpy(bool)


def _numbers(column: pd.Series) -> np.ndarray:
    """A column as float64, nulls as NaN."""
    return column.to_numpy(dtype=float, na_value=np.nan)


def _counts(counts: np.ndarray, there: np.ndarray) -> pd.Series | pd.api.extensions.ExtensionArray:
    """Counts as nullable integers: NaN, and cells that are not `there`, become null."""
    unknown = np.isnan(counts) | ~there
    return pd.arrays.IntegerArray(np.where(unknown, 0, counts).astype(np.int64), unknown)
