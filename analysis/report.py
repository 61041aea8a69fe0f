"""Everything that there is to say of a run, in one HTML file that needs nothing else.

    python -m analysis.report RUN [--out FILE.html] [--gallery COUNT] [--where AXIS=VALUE]

What was run and how much of it is there, phase diagrams, regimes, exponents, transitions, portraits, warnings, how to
make it again and how to cite it. Pictures are inside the file, and it asks no server for anything. Only the portraits
are computed now (--gallery 0: none).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from analysis import command, html, report_findings, report_gallery, report_run, report_transitions, report_warnings
from analysis.html import Html, Section, element, joined, paragraph
from analysis.report_run import Run
from analysis.style import number
from sweeps.arguments import ArgumentProblem, RunParser, answered, as_assignments, read_assignments
from sweeps.telling import counted

MOST_PORTRAITS = 100


def page(run: Run, *, portraits: int = report_gallery.DEFAULT) -> Html:
    """The report of a run.

    Args:
        run: what was read of it. Without cells, the report says so.
        portraits: in the gallery, at most.
    """
    sections = [
        Section("glance", "At a glance", at_a_glance(run)),
        Section("run", "What was run", report_run.what_was_run(run)),
        Section("complete", "How complete it is", report_run.how_complete(run)),
        Section("diagrams", "Phase diagrams", report_findings.phase_diagrams(run)),
        Section("regimes", "Regimes", report_findings.regimes(run)),
        Section("exponents", "Exponents", report_findings.exponents(run)),
        Section("transitions", "Transitions", report_transitions.transitions(run)),
        Section("gallery", "Gallery", report_gallery.gallery(run, portraits)),
        Section("warnings", "Warnings", report_warnings.warnings_section(run)),
        Section("reproduce", "How to reproduce it", report_run.how_to_reproduce(run)),
        Section("cite", "How to cite it", report_run.how_to_cite(run)),
    ]
    lead = f"Report of a run of system {run.about['system']}, plan {run.about['plan']}, in {run.path}."
    return html.page(f"{run.name}: {counted(len(run.cells), 'cell')}", lead, sections)


def at_a_glance(run: Run) -> Html:
    """The few numbers that somebody who reads no further should have seen."""
    df, condition = run.cells, run.condition
    parts, found = condition["parts"], sum(one.found for one in report_warnings.reservations(run))
    selected = ", ".join(f"{axis} = {number(value)}" for axis, value in run.where.items())
    pieces = [paragraph(f"Of the cells of the run those with {selected}.")] if selected else []
    tiles = [
        (f"{len(df):,}", f"cells of {condition['cells']['planned']:,} planned" + (", selected" if selected else "")),
        (
            f"{parts['done']:,} / {parts['planned']:,}",
            "parts done" + ("" if condition["complete"] else ": not complete"),
        ),
        (f"{found}", element("span", element("a", "reservations", href="#warnings"), " that apply")),
    ]
    if df.empty:
        return joined(_tiles(tiles), *pieces, paragraph(report_findings.NO_CELLS))
    chaos = report_findings.share_of_chaos(df)
    tiles.insert(1, (report_findings.percent(chaos), "chaotic or hyperchaotic"))
    if df["lambda_1"].notna().any():
        tiles.insert(2, (report_findings.signed(float(df["lambda_1"].max())), "largest lambda_1, nats per step"))
    millions = f"{run.network_steps / 1e6:,.3g} M" if run.network_steps < 1e9 else f"{run.network_steps / 1e9:,.3g} G"
    tiles.append((millions, f"network-steps in {report_run.duration(run.seconds)}"))
    shares = report_findings.regime_bar(report_findings.shares_of_all(df))
    failed = int((~df["status"].isin(["ok", "superstable"])).sum())
    if failed == len(df):
        pieces.append(paragraph(element("span", "All cells failed: there is no number to be had.", class_="found")))
    return joined(_tiles(tiles), *pieces, shares)


def _tiles(tiles: list[tuple[str, object]]) -> Html:
    return element(
        "div", *(element("div", element("b", value), element("span", what)) for value, what in tiles), class_="tiles"
    )


def read(path: Path, where: Mapping[str, float | str]) -> Run:
    """A run, every part of it checked.

    Raises:
        TableError: it is none, has no finished part, or a damaged one.
        ArgumentProblem: an axis that it does not have, or a value that it has not.
    """
    from attractor_jax.audit import examine
    from attractor_jax.reading import read_run
    from attractor_jax.store import read_manifest
    from sweeps.status import as_mapping

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        whole = read_run(path)
    for warning in told:
        print(f"warning: {warning.message}", file=sys.stderr)
    about = read_manifest(path)
    table = command.further_table(path, "transitions")
    cells = command.selected(whole, where)
    if table is not None:
        table = command.selected(table, {axis: value for axis, value in where.items() if axis in table.columns})
    condition = as_mapping(examine(path), about["command"])
    (run,) = whole.attrs["runs"]
    return Run(path, about, run["provenance"], whole, cells, where, table, condition)


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run or a page that cannot be written, 2 for bad arguments)."""
    return answered(lambda: _report(argv))


def _report(argv: list[str] | None) -> int:
    asked = _parser().parse_args(argv)
    where = read_assignments("--where", asked.where)
    if asked.out is not None and asked.out.suffix != ".html":
        raise ArgumentProblem(f"`--out` must end in .html, got {str(asked.out)!r}")
    if not 0 <= asked.gallery <= MOST_PORTRAITS:
        raise ArgumentProblem(f"`--gallery` must be 0 to {MOST_PORTRAITS} portraits, got {asked.gallery}")
    run = read(asked.run, where)
    words = as_assignments(where, "")
    path = asked.out or asked.run / "figures" / ("_".join(["report", *words]) + ".html")
    content = page(run, portraits=asked.gallery)
    command.save(path, lambda new: new.write_text(content, encoding="utf-8"))
    print(path)
    return 0


def _parser() -> RunParser:
    parser = RunParser("python -m analysis.report", "Everything that there is to say of a run, in one HTML file.")
    add = parser.add_argument
    add("--out", metavar="FILE", type=Path, help="file to write, .html (default: RUN/figures/report.html)")
    add("--gallery", metavar="COUNT", type=int, default=report_gallery.DEFAULT, help="portraits (default: %(default)s)")
    add("--where", metavar="AXIS=VALUE", action="append", default=[], help="only these cells; may be repeated")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
