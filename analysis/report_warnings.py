"""What of a report says how far its numbers can be believed: every reservation, how often it applies, what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import html
from analysis.html import Html, element, joined, paragraph
from analysis.report_run import Run
from attractor_jax.phase import phase_table
from attractor_jax.provenance import MADE_BY
from sweeps.telling import counted


@dataclass(frozen=True)
class Reservation:
    """Something that can be wrong with a run.

    Attributes:
        about: what is looked for.
        count: how often it was found; None where it was not looked for.
        of: how often it could have been.
        means: what it means where it is found, or why it was not looked for.
        kinds: which ones, where there are several.
    """

    about: str
    count: int | None
    of: int
    means: str
    kinds: str = ""

    @property
    def found(self) -> bool:
        return bool(self.count)


def reservations(run: Run) -> list[Reservation]:
    """All that is looked for, found or not."""
    return [*_of_the_run(run), *_of_cells(run), *_of_transitions(run)]


def warnings_section(run: Run) -> Html:
    rows = []
    all_of_them = reservations(run)
    for one in all_of_them:
        if one.count is None:
            rows.append((one.about, element("span", "not looked for", class_="soft"), one.means))
        elif not one.found:
            rows.append((one.about, "none", element("span", one.means, class_="soft")))
        else:
            share = f"{one.count:,} of {one.of:,}" if one.of else f"{one.count:,}"
            kinds = element("b", f"{one.kinds}. ") if one.kinds else ""
            rows.append((one.about, element("span", f"▲ {share}", class_="found"), joined(kinds, one.means)))
    n = sum(one.found for one in all_of_them)
    told = f"{n} of {len(all_of_them)} reservations apply (▲)." if n else "None of what is looked for was found."
    return joined(
        paragraph(told),
        html.table(["what", "found", "what it means"], rows, words=3),
        paragraph(
            "Chaotic means chaotic within the steps that were measured: long chaotic transients are common here. "
            "Whether the regimes would hold with more steps, from another start or in another dtype is not seen in a "
            "table; ",
            element("code", f"python -m sweeps.check {run.path}"), " measures a sample again.",
        ),
    )  # fmt: skip


def _of_the_run(run: Run) -> Iterator[Reservation]:
    parts, n = run.condition["parts"], len(run.parts)
    yield Reservation(
        "parts missing", len(parts["missing"]), parts["planned"], "cells of the plan that no number here knows of"
    )
    yield Reservation(
        "strange files",
        len(parts["strangers"]),
        0,
        "files among the parts that are no part of the plan; they are not read",
    )
    mixed = [key for key in MADE_BY if len(run.made_by(key)) > 1]
    yield Reservation(
        "mixed provenance", len(mixed), len(MADE_BY),
        "parts were made by different programs, libraries, devices or commits: chaos amplifies their last bits",
        "; ".join(f"{key}: {', '.join(run.made_by(key))}" for key in mixed),
    )  # fmt: skip
    dirty = sum(any("-dirty" in commit for commit in _commits(part)) for part in run.parts)
    yield Reservation("source with local changes", dirty, n, "the commit alone does not give the program back")


def _commits(part: Mapping[str, Any]) -> list[str]:
    return [str(part.get("commit", "")), *map(str, part.get("taken_from", {}).get("commit", []))]


def _of_cells(run: Run) -> Iterator[Reservation]:
    df, n = run.cells, len(run.cells)
    failed = df["status"].astype(str)[~df["status"].isin(["ok", "superstable"])].value_counts()
    yield Reservation(
        "failed cells", int(failed.sum()), n,
        "diverged: the orbit left the finite numbers; underflow: a derivative fell below the smallest number",
        ", ".join(f"{count:,} {status}" for status, count in failed.items()),
    )  # fmt: skip
    yield Reservation(
        "unsettled", int((df["regime"] == "unsettled").sum()), n,
        "no regime could be told within the steps measured; more of them (measure=adaptive) may tell",
    )  # fmt: skip
    drifting = (~df["settled"].astype(bool) & df["status"].isin(["ok"]) & df["lambda_1"].notna()).sum()
    yield Reservation(
        "early and late halves disagree", int(drifting), n,
        "the orbit was still on its way, or its chaos ended, while it was measured: these exponents are not asymptotic",
    )  # fmt: skip
    censored = 0 if df.empty else int(phase_table(df.assign(run=0), "run", value="kaplan_yorke")["n_censored"].iloc[0])
    yield Reservation(
        "censored dimensions", censored, n,
        "the k exponents that were measured sum to zero or more: the Kaplan–Yorke dimension is at least k, and unknown",
    )  # fmt: skip
    yield Reservation(
        "flagged spectra", int(df["spectrum_flagged"].sum()), n,
        "the last exponents drown in rounding and are not to be trusted; the leading ones are, for s up to about 8",
    )  # fmt: skip
    if "second_opinion" in df.columns:
        silent = int(df["second_opinion"].isna().sum())
        yield Reservation(
            "second opinions disagree", int((df["second_opinion"] == "disagrees").sum()), n,
            "the 0-1 test or two orbits contradict lambda_1, mostly in weak chaos and on slow curves"
            + (f"; of {counted(silent, 'cell')} they cannot tell" if silent else ""),
        )  # fmt: skip
    else:
        yield Reservation(
            "second opinions disagree", None, n,
            "the run has none: measure.also=[zero_one,two_orbit] adds the 0-1 test and the divergence of two orbits",
        )  # fmt: skip
    single = int((df["dtype"].astype(str) == "float32").sum())
    yield Reservation(
        "float32", single, n, "single precision changes the regime of some cells, the more the larger s is"
    )
    if target := run.about["measure"].get("target_se"):
        missed = int((df["lambda_1_se"].to_numpy(float, na_value=np.nan) > target).sum())
        yield Reservation(
            "target_se not reached", missed, n, f"lambda_1 is known less closely than the {target:g} that was asked for"
        )


def _of_transitions(run: Run) -> Iterator[Reservation]:
    table = run.transitions
    if table is None:
        return
    if "critical_verified" in table.columns:
        wrong = int((table["critical_verified"] == False).sum())  # noqa: E712  null where there is nothing to verify
        yield Reservation(
            "s_critical not verified",
            wrong,
            len(table),
            "a small orbit does not fall below it and grow above it as it should",
        )
    unsettled = int((table["n_unsettled"] > 0).sum())
    yield Reservation(
        "transitions beside unsettled cells", unsettled, len(table),
        "cells that belong to neither side widen the brackets of these networks' transitions",
    )  # fmt: skip
