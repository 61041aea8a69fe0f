"""Do the networks do what was published of them? The numbers of docs/reproductions.md, from the runs that it names.

python -m benchmarks.reproductions bifurcations
python -m benchmarks.reproductions chaos RUN
python -m benchmarks.reproductions dimension RUN
python -m benchmarks.reproductions windows RUN

Errors are standard errors, in units of the last digit, and intervals are of 95 %. All are bootstrapped by seed: the
cells of a seed share a network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

import attractor_jax as aj
from attractor_jax.axes import select
from attractor_jax.draws import article_draw
from attractor_jax.regimes import CHAOTIC_REGIMES

RESAMPLES = 1000
CHAOS_AT = (0.25, 1.0, 4.0, 8.0, 16.0)

Table = Iterator[Sequence[str]]  # its head, then its rows

# Of the table (networks, 5) that `window_counts` makes.
_OF_WINDOWS: dict[str, Callable[[np.ndarray], float]] = {
    "ordered, %": lambda x: 100 * x[:, 1].sum() / x[:, 0].sum(),
    "fixed points and cycles, %": lambda x: 100 * x[:, 2].sum() / x[:, 0].sum(),
    "windows a network": lambda x: x[:, 3].mean(),
    "with a cycle in them": lambda x: x[:, 4].mean(),
    "networks with such, %": lambda x: 100 * (x[:, 4] > 0).mean(),
}


def bifurcations(seeds: int = 2000, N: int = 4, delays: Sequence[int] = (1, 2, 4, 8, 16, 32)) -> Table:
    """How often the origin of the uniform family first loses stability to a closed curve: exact."""
    yield "D", "Neimark-Sacker", f"of {seeds} networks"
    for D in delays:
        weights, gains = map(np.stack, zip(*(article_draw(seed, N, D) for seed in range(seeds)), strict=True))
        count = int(np.count_nonzero(aj.s_critical(weights, gains).kind == "neimark_sacker"))
        yield str(D), str(count), f"{count / seeds:.1%}"


def chaos(df: pd.DataFrame) -> Table:
    """Per cent of networks that are chaotic, with intervals, for each size at some values of s."""
    yield "N", "D", *(f"s = {s:g}" for s in CHAOS_AT)
    for N, D in df[["N", "D"]].drop_duplicates().to_numpy().tolist():
        shares = [
            aj.phase_table(select(df, {"N": N, "D": D, "s": s}), "s", resamples=RESAMPLES).iloc[0] for s in CHAOS_AT
        ]
        yield str(N), str(D), *(f"{100 * p['value']:.0f} [{100 * p['low']:.0f}, {100 * p['high']:.0f}]" for p in shares)


def dimension(df: pd.DataFrame) -> Table:
    """Positive exponents and Kaplan-Yorke dimension where they are most: their mean over networks at the s where that
    is largest, and the mean of each network's own maximum over s.
    """
    yield "D", "number", "at s", "maximum of the mean", "per D", "mean of the maxima", "per D"
    names = {"n_positive": "positive exponents", "kaplan_yorke_dimension": "Kaplan-Yorke dimension"}
    for D in np.unique(df["D"]).tolist():
        here = df[df["D"] == D]
        for column, name in names.items():
            # (seeds, s); NaN where a spectrum is not known, which is left out of the means.
            numbers = here.assign(number=here[column].astype(float)).pivot(index="seed", columns="s", values="number")
            most = with_error(numbers.to_numpy(), lambda x: np.nanmean(x, axis=0).max())
            own = with_error(numbers.to_numpy(), lambda x: np.nanmax(x, axis=1).mean())
            at = f"{numbers.mean().idxmax():.2f}"
            ratios = [tuple(part / D for part in value) for value in (most, own)]
            yield str(D), name, at, shown(*most), shown(*ratios[0]), shown(*own), shown(*ratios[1])


def windows(df: pd.DataFrame) -> Table:
    """Order beyond the onset of chaos: share of the grid of s, and windows a network, for each number of delays."""
    yield "D", "networks", *_OF_WINDOWS
    for D, here in df.groupby("D"):
        counts = np.array([window_counts(*_in_order(network)) for _, network in here.groupby("seed")], float)
        counts = counts[counts[:, 0] > 0]  # a network that is never chaotic has no onset
        if len(counts) == 0:
            yield str(D), "0", *("-" for _ in _OF_WINDOWS)
            continue
        yield str(D), str(len(counts)), *(shown(*with_error(counts, mean)) for mean in _OF_WINDOWS.values())


def window_counts(chaotic: np.ndarray, ordered: np.ndarray, recurrent: np.ndarray) -> tuple[int, int, int, int, int]:
    """What lies beyond the onset of chaos of one network, whose cells stand in the order of s.

    Args:
        chaotic, ordered, recurrent: (s,), bool: chaos; a fixed point, a cycle or a closed curve; a fixed point or a
            cycle. What could not be told is none of them.

    Returns:
        Points after the first chaotic one; those of them that are ordered; those that are recurrent; windows, that is
        longest runs of ordered points, the one that the end of the grid may cut off included; and windows with a
        recurrent point in them.
    """
    if not chaotic.any():
        return 0, 0, 0, 0, 0
    first = int(np.argmax(chaotic)) + 1
    order, recurrent = ordered[first:], recurrent[first:]
    begins = order & ~np.r_[False, order[:-1]]
    window = np.cumsum(begins)[order & recurrent]
    return len(order), int(order.sum()), int(recurrent.sum()), int(begins.sum()), len(np.unique(window))


def with_error(by_seed: np.ndarray, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """A statistic of a table with a row a seed, and its standard error from resampled rows."""
    rng = np.random.default_rng(0)
    n = len(by_seed)
    resampled = [statistic(by_seed[rng.integers(0, n, n)]) for _ in range(RESAMPLES)]
    return float(statistic(by_seed)), float(np.std(resampled, ddof=1))


def shown(value: float, error: float) -> str:
    """A number with its error in units of the last digit, two of them where it begins with 1: 7.11(12), 0.222(4)."""
    if not error > 0:
        return f"{value:.3g}"
    digits = max(0, -int(np.floor(np.log10(error))) + (error / 10 ** np.floor(np.log10(error)) < 1.95))
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def _in_order(network: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    regime = network.sort_values("s")["regime"]
    kinds = (CHAOTIC_REGIMES, ("fixed_point", "periodic", "quasiperiodic"), ("fixed_point", "periodic"))
    chaotic, ordered, recurrent = (regime.isin(list(kind)).to_numpy(bool) for kind in kinds)
    return chaotic, ordered, recurrent


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproductions", description="Published, and measured.")
    claims = parser.add_subparsers(dest="claim", required=True)
    claims.add_parser("bifurcations", help="kinds of the first bifurcation; needs no run")
    of_a_run = {"chaos": chaos, "dimension": dimension, "windows": windows}
    for name in of_a_run:
        claims.add_parser(name, help=f"of a run of experiment=albers_{name}").add_argument("run", metavar="RUN")
    arguments = parser.parse_args(argv)
    if arguments.claim == "bifurcations":
        table = bifurcations()
    else:
        try:
            table = of_a_run[arguments.claim](aj.read_run(arguments.run))
        except aj.TableError as error:
            print(error, file=sys.stderr)
            return 1
    for row, cells in enumerate(table):
        print("| " + " | ".join(cells) + " |")
        if row == 0:
            print("|" + "---|" * len(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
