"""What of a report comes from the run itself: what was asked for, who computed it, how much of it is there, how to make
it again, and how to cite it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis import html
from analysis.html import Html, element, joined, paragraph
from analysis.style import number
from attractor_jax.axes import table_axes
from attractor_jax.config import ConfigError
from attractor_jax.provenance import MADE_BY, makers
from attractor_jax.systems import get
from sweeps.arguments import as_assignments
from sweeps.status import duration, that_goes_on_here
from sweeps.telling import counted

SOFTWARE = "attractor_jax: sweeps of small neural networks as iterated maps, with Lyapunov exponents"


@dataclass(frozen=True)
class Run:
    """A run, as far as a report needs it.

    Attributes:
        path: of its directory.
        about: its manifest.
        parts: what each part that is there says of itself.
        whole: all of its cells, with their regimes.
        cells: those that the report is about.
        where: what singles them out, by axis.
        transitions: the table of their networks, if the run has one.
        condition: what `sweeps.status` says, as `sweeps.status.as_mapping` gives it.
    """

    path: Path
    about: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]
    whole: pd.DataFrame
    cells: pd.DataFrame
    where: Mapping[str, float | str]
    transitions: pd.DataFrame | None
    condition: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.about["experiment"])

    def made_by(self, key: str) -> list[str]:
        """The engines, libraries, devices or commits that computed it."""
        return makers(self.parts, key)

    @property
    def has_spectra(self) -> bool:
        """Were more exponents measured than the largest?"""
        return self.about["measure"]["k"] != 1

    @cached_property
    def network_steps(self) -> int:
        """Steps of single networks that its cells took: before, in and after the measurement."""
        measure = self.about["measure"]
        around = measure["align"] + measure["longest_period"]
        return int(self.whole["transient"].sum() + self.whole["steps"].sum()) + around * len(self.whole)

    @property
    def seconds(self) -> float:
        """That its parts took, one after the other."""
        return sum(float(part.get("seconds", 0.0)) for part in self.parts)

    @property
    def core_seconds(self) -> float | None:
        """The same times the devices that each part had; None where a part does not say how many."""
        if any("devices" not in part for part in self.parts):
            return None
        return sum(float(part.get("seconds", 0.0)) * int(part["devices"]) for part in self.parts)

    @property
    def command(self) -> str | None:
        """The command that makes it; None where it was made from Python."""
        words = that_goes_on_here(list(self.about["command"]), self.path)
        return shlex.join(["python", "-m", "sweeps.run", *words]) if self.about["command"] else None


def what_was_run(run: Run) -> Html:
    about = run.about
    rows = [
        ("experiment", about["experiment"]),
        ("system", about["system"]),
        ("plan", element("code", about["plan"])),
        ("command", element("code", run.command or "none recorded: it was started from Python")),
        ("floating point", about["dtype"]),
        *((key, ", ".join(run.made_by(key)) or "no part says") for key in MADE_BY),
        ("numerics version", about["numerics_version"]),
        ("written", _written(run)),
        ("cost", _cost(run)),
        ("report made with", _this_program()),
    ]
    measure = about["measure"]
    k = "all exponents" if measure["k"] == "all" else counted(int(measure["k"]), "exponent")
    most = f", and on to {measure['max_steps']:,} where that was not enough" if measure.get("max_steps") else ""
    told = (
        f"Each cell (one network with one initial state) was iterated for {measure['transient']:,} steps that were "
        f"thrown away, then measured for {measure['steps']:,}{most}: {k}, with errors from {measure['blocks']} block "
        f"means, and periods up to {measure['longest_period']:,}."
    )
    config = yaml.safe_dump(about["config"], sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    return joined(
        paragraph(told),
        html.table([], rows, words=2),
        element("h3", "Axes"),
        html.table(["axis", "meaning", "values", "from", "to"], _axes(run), words=2),
        element("h3", "Configuration"),
        paragraph("The whole of it, as the manifest of the run keeps it; the plan is a pure function of this."),
        html.code(config),
    )


def how_complete(run: Run) -> Html:
    condition = run.condition
    parts, cells = condition["parts"], condition["cells"]
    rows = [
        ("parts", f"{parts['done']:,}", f"{parts['planned']:,}"),
        ("cells", f"{cells['done']:,}", f"{cells['planned']:,}"),
    ]
    there = html.table(["", "done", "planned"], rows)
    if condition["complete"]:
        return joined(
            paragraph("Complete: every part of the plan is there, and all its bytes are as they were written."), there
        )
    problems = [
        *([f"{counted(len(parts['missing']), 'part')} missing"] if parts["missing"] else []),
        *(f"damaged: {fault}" for fault in parts["damaged"].values()),
        *(f"strange: {path} is no part of this plan" for path in parts["strangers"]),
    ]
    left = condition["seconds_left"]
    told = f"About {duration(left)} of computing are left, if one process does it on devices like those before. "
    return joined(
        paragraph(
            element("span", "Not complete.", class_="found"), " All numbers below are of the cells that are there."
        ),
        there,
        html.items(problems),
        paragraph(told if left else "", "This goes on with it:"),
        html.code(condition["command"]),
    )


def how_to_reproduce(run: Run) -> Html:
    commits = run.made_by("commit")
    commit = commits[0].removesuffix("-dirty") if commits else ""
    checkout = [f"git checkout {commit}"] if commit and " " not in commit else []
    install = ["pip install --constraint constraints.txt --editable ."]
    sweep = run.command or "python -m sweeps.run ...   # the configuration above, key by key"
    where = [word for assignment in as_assignments(run.where) for word in ("--where", assignment)]
    path = shlex.quote(str(run.path))
    lines = [
        *checkout, *install, sweep, f"python -m sweeps.status {path}", f"python -m sweeps.check {path}",
        shlex.join(["python", "-m", "analysis.report", str(run.path), *where]),
    ]  # fmt: skip
    mixed = (
        f" The run mixes {len(commits)} of them, {', '.join(commits)}: this is the first." if len(commits) > 1 else ""
    )
    return joined(
        paragraph(
            "In a clone of the program. The sweep must print the plan ", element("code", run.about["plan"]),
            ": same plan, same cells. On the same kind of processor, with the same jaxlib and dtype, the table comes "
            "out the same bit for bit, whatever the batch, the number of devices or the interruptions; elsewhere chaos "
            f"amplifies the last bits, and statistics agree within their errors.{mixed}",
        ),
        html.code("\n".join(lines)),
        paragraph(
            element("code", "sweeps.status"), " reads every part to its last byte; ", element("code", "sweeps.check"),
            " measures a sample again with more steps, from another start and in the other dtype, and says whether the "
            "regimes would hold.",
        ),
    )  # fmt: skip


def how_to_cite(run: Run) -> Html:
    commits = ", ".join(run.made_by("commit")) or "unknown"
    tool = (
        f"{SOFTWARE}. Version {version('attractor_jax')}, commit {commits}, numerics version "
        f"{run.about['numerics_version']}; experiment {run.name}, plan {run.about['plan']}, "
        f"{counted(len(run.whole), 'cell')}."
    )
    return joined(
        paragraph("The program and the run:"),
        html.items([tool]),
        paragraph("What the columns of this run rest on:"),
        html.items(
            joined(reference, " ", element("span", f"({why})", class_="soft")) for reference, why in literature(run)
        ),
    )


def literature(run: Run) -> list[tuple[str, str]]:
    """References behind the columns that the run has, and what each is for."""
    columns, system = run.whole.columns, run.about["system"]
    drawn = {
        "uniform": "J. C. Sprott (1998), Artificial neural net attractors, Computers & Graphics 22, 143.",
        "gaussian": "D. J. Albers, J. C. Sprott, W. D. Dechert (1998), Routes to chaos in neural networks with random "
        "weights, Int. J. Bifurcation Chaos 8, 1463.",
        "henon": "M. Hénon (1976), A two-dimensional mapping with a strange attractor, Commun. Math. Phys. 50, 69.",
        "logistic": "R. M. May (1976), Simple mathematical models with very complicated dynamics, Nature 261, 459.",
    }
    found = [(drawn[system], "the system")] if system in drawn else []
    found += [
        ("G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn (1980), Lyapunov characteristic exponents for smooth "
         "dynamical systems, Meccanica 15, 9 and 21.", "exponents"),
        ("I. Shimada, T. Nagashima (1979), A numerical approach to ergodic problem of dissipative dynamical systems, "
         "Prog. Theor. Phys. 61, 1605.", "exponents"),
        ("J. von Neumann (1941), Distribution of the ratio of the mean square successive difference to the variance, "
         "Ann. Math. Stat. 12, 367.", "error of the drift"),
    ]  # fmt: skip
    if run.has_spectra:
        found.append((
            "J. L. Kaplan, J. A. Yorke (1979), Chaotic behavior of multidimensional difference equations, Lecture "
            "Notes in Mathematics 730, 204.", "dimension",
        ))  # fmt: skip
    if "s_critical" in columns:
        found.append((
            "Yu. A. Kuznetsov, Elements of Applied Bifurcation Theory, chapter 4.", "loss of stability of the origin"
        ))  # fmt: skip
    if "zero_one_k" in columns:
        found.append((
            "G. A. Gottwald, I. Melbourne (2009), On the implementation of the 0-1 test for chaos, SIAM J. Appl. Dyn. "
            "Syst. 8, 129.", "zero_one_k",
        ))  # fmt: skip
    if "lambda_two_orbit" in columns:
        found.append((
            "G. Benettin, L. Galgani, J.-M. Strelcyn (1976), Kolmogorov entropy and numerical experiments, Phys. Rev. "
            "A 14, 2338.", "lambda_two_orbit",
        ))  # fmt: skip
    return [
        *found,
        ("A. C. Davison, D. V. Hinkley (1997), Bootstrap Methods and their Application, section 3.8.", "intervals"),
        ("E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, J. Am. Stat. "
         "Assoc. 22, 209.", "intervals where all seeds agree"),
    ]  # fmt: skip


def _axes(run: Run) -> list[tuple[object, ...]]:
    """A row an axis of the whole run."""
    try:
        meaning = {axis.name: axis.meaning for axis in get(str(run.about["system"])).axes}
    except ConfigError:  # a system of a package that is not installed here
        meaning = {}
    rows = []
    for axis in table_axes(run.whole):
        values = np.sort(run.whole[axis].unique())
        ends = [number(values[0]), number(values[-1])] if len(values) else ["", ""]
        rows.append((axis, meaning.get(axis, ""), f"{len(values):,}", *ends))
    return rows


def _written(run: Run) -> str:
    """When the parts were written, as their files have it."""
    times = [path.stat().st_mtime for path in sorted((run.path / "cells").glob("part-*.parquet"))]
    if not times:
        return "no part is there"
    first, last = (
        f"{datetime.fromtimestamp(when).astimezone():%Y-%m-%d %H:%M:%S %Z}" for when in (min(times), max(times))
    )
    return (first if first == last else f"{first} to {last}") + " (times of the files)"


def _cost(run: Run) -> str:
    told = f"{run.network_steps:,} network-steps for the cells"
    further = [table for table in ("refined", "forward", "backward", "transitions") if (run.path / table).is_dir()]
    told += f" (those for {', '.join(further)} not counted)" if further else ""
    told += f", in {duration(run.seconds)} of computing"
    cores = run.core_seconds
    told += f", {cores:,.0f} core-seconds" if cores is not None else "; on how many cores the parts do not say"
    taken = sum(int(part.get("taken_over", 0)) for part in run.parts)
    return told + (f"; {counted(taken, 'cell')} were taken over from another run" if taken else "")


def _this_program() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("attractor_jax", "jax", "numpy", "pandas", "matplotlib"))
