"""The report of a run: all its sections, the numbers of the table, nothing from outside, and whatever a run may be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from runs import TINY, plan_of, rewrite_manifest, sweep
from test_figures import failed as fail
from test_transition_figures import run as cells_by_hand
from test_transition_figures import transitions_of

from analysis import html, report, report_gallery, report_warnings
from analysis.html import VOID
from analysis.report_run import Run
from attractor_jax.parts import read_part
from attractor_jax.reading import read_run
from attractor_jax.store import RunDirectory
from attractor_jax.sweep import run_sweep

SECTIONS = [
    "At a glance", "What was run", "How complete it is", "Phase diagrams", "Regimes", "Exponents", "Transitions",
    "Gallery", "Warnings", "How to reproduce it", "How to cite it",
]  # fmt: skip
NETWORKS = ("grid.N=3", "grid.D=3", "grid.seed={start: 0, num: 3}", "grid.s=[0.2,0.8,2.0,4.0]", *TINY)


class Page(HTMLParser):
    """A page, taken apart; every element must be closed where it was opened."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.links += [told[name] for name in ("src", "href", "action", "srcset", "data") if name in told]
        self.anchors.add(told.get("id", ""))
        if tag == "img":
            self.alts.append(told["alt"])
        if tag == "h2":
            self.headings.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in (*VOID, "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            assert "url(" not in data and "@import" not in data
            return
        self.words.append(data)
        if "h2" in self.open:
            self.headings[-1] += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == name)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(plan_of("name=networks", *NETWORKS), tmp_path_factory.mktemp("networks"))


def by_hand(path: Path, df: pd.DataFrame, transitions: pd.DataFrame | None = None) -> Run:
    """A run that no sweep made, with the manifest of one."""
    about = report.read(path, {})
    return replace(about, whole=df, cells=df, transitions=transitions)


def test_a_report_has_all_its_sections_and_nothing_from_outside(
    networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(networks), "--gallery", "2"]) == 0
    path = networks / "figures" / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    content = path.read_text()
    page = Page(content)
    assert page.headings == SECTIONS
    assert not page.tags & {"script", "iframe", "object", "embed", "audio", "video", "form"}
    for link in page.links:
        assert link.startswith(("data:image/png;base64,", "#")) or link == "data:,", link[:80]
        assert not link.startswith("#") or link[1:] in page.anchors
    assert len(page.alts) >= 6 and all(len(alt) > 20 for alt in page.alts)
    assert sum(alt.startswith("Portrait of") for alt in page.alts) == 2
    assert [other.name for other in path.parent.iterdir()] == ["report.html"], "a temporary file was left"
    manifest = json.loads((networks / "manifest.json").read_text())
    for words in (
        manifest["plan"],
        "transient: 40",
        "float64",
        "Sprott (1998)",
        "sweeps.status",
        "Complete: every part",
    ):
        assert words in page.text, words


def test_numbers_are_those_of_the_table(networks: Path) -> None:
    df = read_run(networks)
    page = Page(report.page(report.read(networks, {}), portraits=0))
    for regime, n in df["regime"].value_counts().items():
        row = page.row(str(regime).replace("_", " "))
        assert row[1:3] == [f"{n:,}", f"{100 * n / len(df):.1f} %"]
    lambda_1 = df["lambda_1"].to_numpy()
    ends = np.quantile(lambda_1[~np.isnan(lambda_1)], [0.1, 0.25, 0.5, 0.75, 0.9], method="inverted_cdf")
    assert [float(cell.replace("−", "-")) for cell in page.row("all cells")[1:]] == pytest.approx(ends, abs=6e-5)
    assert page.row("unsettled")[1] == str((df["regime"] == "unsettled").sum())
    critical = df.drop_duplicates("seed")["s_critical"]
    row = page.row("s_critical")
    assert row[2:4] == [str(np.isfinite(critical).sum()), str(len(critical))]
    assert row[5] == f"{np.quantile(critical[np.isfinite(critical)], 0.5, method='inverted_cdf'):.3g}"
    steps = int((df["transient"] + df["steps"] + 8 + 16).sum())
    assert f"{steps:,} network-steps" in page.text
    seconds = sum(part["seconds"] * part["devices"] for part in df.attrs["runs"][0]["provenance"])
    assert f"{seconds:,.0f} core-seconds" in page.text


def test_some_cells_and_where_the_page_goes(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "page.html"
    assert report.main([str(networks), "--gallery", "0", "--where", "seed=1", "--out", str(out)]) == 0
    page = Page(out.read_text())
    assert "Of the cells of the run those with seed = 1." in page.text
    assert "No portraits were asked for" in page.text and "--where seed=1" in page.text
    cells = [row for row in page.rows if len(row) == 10]
    assert cells[0][:5] == ["regime", "cell_id", "N", "D", "seed"]
    assert [row[4] for row in cells[1:]] == ["1"] * 4
    assert report.main([str(networks), "--gallery", "0", "--where", "seed=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("report_seed1.html")


def test_what_a_run_says_of_itself_is_escaped(networks: Path, tmp_path: Path) -> None:
    copied = tmp_path / "<img src=x onerror=alert(1)>&" / networks.name
    shutil.copytree(networks, copied)
    evil = '</pre><script>alert("2")</script>'
    about = json.loads((copied / "manifest.json").read_text())
    rewrite_manifest(copied, experiment=evil, command=[f"name={evil}"], config=about["config"])
    content = report.page(report.read(copied, {}), portraits=0)
    page = Page(content)
    assert "script" not in page.tags and "onerror=alert(1)>" in page.text and evil in page.text
    assert content.count("<img") == len(page.alts) == content.count('<img src="data:image/png')


def test_elements_escape_everything_but_elements() -> None:
    inner = html.element("b", "1 < 2 & 'so'")
    assert html.element("p", inner, "<i>", class_='a"b') == (
        '<p class="a&quot;b"><b>1 &lt; 2 &amp; &#x27;so&#x27;</b>&lt;i&gt;</p>'
    )
    assert html.element("br") == "<br>"


CASES: dict[str, tuple[Callable[[], pd.DataFrame], list[str]]] = {
    "no cell": (lambda: cells_by_hand().iloc[:0], ["There is no cell in the table."]),
    "one cell": (lambda: cells_by_hand().iloc[[7]], ["One cell makes no diagram.", "Cell by cell"]),
    "all failed": (
        lambda: cells_by_hand().pipe(lambda df: _failed(df)),
        ["All cells failed: there is no number to be had.", "No cell has an exponent", "▲ 54 of 54", "54 diverged"],
    ),
    "one seed": (lambda: cells_by_hand(seeds=1), ["Wilson's"]),
    "two axes": (lambda: cells_by_hand(N=(2, 4), seeds=3), ["Share of chaos over s and N."]),
    "a spread s": (
        lambda: cells_by_hand(s=np.sort(np.random.default_rng(0).uniform(0.1, 8, 200)), seeds=2), ["Shares along s"]
    ),
    "many axes": (
        lambda: cells_by_hand(N=(2, 4, 8), D=(2, 3, 5), seeds=2), ["The routes of single networks are not drawn"]
    ),
}  # fmt: skip


def _failed(df: pd.DataFrame) -> pd.DataFrame:
    from attractor_jax.regimes import classify

    return classify(fail(df, np.ones(len(df), bool), "diverged"))


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_table_has_a_report_that_says_what_it_is(case: str, networks: Path) -> None:
    make, words = CASES[case]
    page = Page(report.page(by_hand(networks, make()), portraits=0))
    assert page.headings == SECTIONS
    for told in words:
        assert told in page.text, told


def test_transitions_are_counted(networks: Path) -> None:
    df = cells_by_hand(N=(2, 4), seeds=6)
    table = transitions_of(df).assign(n_unsettled=0)
    page = Page(report.page(by_hand(networks, df, table), portraits=0))
    assert page.row("s_chaos")[2:4] == ["10", "12"]
    assert page.row("s_chaos")[5] == f"{np.quantile(table['s_chaos'].dropna(), 0.5, method='inverted_cdf'):.3g}"
    kinds = table["first_bifurcation"].value_counts()
    assert page.row("flip")[1] == str(kinds["flip"]) and page.row("Neimark–Sacker")[1] == str(kinds["neimark_sacker"])
    assert "10 of 12 networks become chaotic on the grid" in page.text
    assert any("Where chaos begins against" in alt for alt in page.alts)


def test_every_reservation_is_counted_or_said_not_to_apply(networks: Path) -> None:
    run = report.read(networks, {})
    clean = {one.about: one for one in report_warnings.reservations(run)}
    assert clean["failed cells"].count == 0 and clean["float32"].count == 0
    assert clean["second opinions disagree"].count is None
    df = run.cells.copy()
    df["second_opinion"] = pd.Categorical(["disagrees", "agrees", *[None] * (len(df) - 2)])
    df["spectrum_flagged"] = np.arange(len(df)) < 3
    df["dtype"] = "float32"
    df["status"] = ["underflow", *["ok"] * (len(df) - 1)]
    df["kaplan_yorke_dimension"], df["kaplan_yorke_lower"] = np.nan, np.nan
    df.loc[:3, "kaplan_yorke_lower"] = 1.0
    parts = [{**run.parts[0], "commit": "abc-dirty"}, {**run.parts[0], "commit": "def", "device": "<gpu>"}]
    dirty = replace(
        run, cells=df, parts=parts, about={**run.about, "measure": {**run.about["measure"], "target_se": 1e-300}}
    )
    found = {one.about: one.count for one in report_warnings.reservations(dirty)}
    assert found | {
        "second opinions disagree": 1, "flagged spectra": 3, "float32": len(df), "failed cells": 1,
        "censored dimensions": 4, "mixed provenance": 2, "source with local changes": 1,
        "target_se not reached": int((df["lambda_1_se"] > 0).sum()),
    } == found  # fmt: skip
    page = Page(html.page("page", "", [html.Section("w", "Warnings", report_warnings.warnings_section(dirty))]))
    assert page.row("flagged spectra")[1] == f"▲ 3 of {len(df)}"
    assert page.row("strange files")[1] == "none"
    assert "commit: abc-dirty, def" in page.row("mixed provenance")[2]


def test_candidates_take_turns_and_no_network_comes_twice() -> None:
    df = cells_by_hand(seeds=8)
    chosen = report_gallery.candidates(df, 6)
    assert len(chosen) == 6 and not chosen.duplicated(["N", "D", "seed"]).any()
    present = [regime for regime in report_gallery.TURNS[:3] if (df["regime"] == regime).any()]
    assert list(chosen["regime"][: len(present)]) == present
    still = df[df["regime"] == "fixed_point"]
    assert report_gallery.candidates(still, 6).empty


def test_a_run_of_another_system_that_is_not_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of("system=logistic", "grid.r={start: 3.5, stop: 4, num: 100}", "plan.part_steps=1", *TINY)
    directory = RunDirectory(tmp_path, plan, command=["system=logistic", "name=it's"])
    directory.parts = directory.parts[:1]
    run_sweep(plan, directory, devices=jax.devices()[:1])
    (directory.path / "cells" / "stranger.txt").write_text("")
    assert plan.n_parts > 1
    assert report.main([str(directory.path), "--gallery", "2"]) == 0
    said = capsys.readouterr()
    assert "is not complete: 1 of" in said.err and said.err.count("\n") == 1
    page = Page((directory.path / "figures" / "report.html").read_text())
    for words in ("Not complete.", "This goes on with it:", "1 part missing", "stranger.txt is no part of this plan",
                  "▲ 1 of 2", "None of these orbits has a plane"):  # fmt: skip
        assert words in page.text, words


def test_cells_that_all_failed_in_a_run_on_the_disk(networks: Path, tmp_path: Path) -> None:
    plan = plan_of("name=networks", *NETWORKS)
    directory = RunDirectory(tmp_path, plan)
    for part in plan.parts():
        table, about = read_part(networks / "cells" / part.file)
        df = table.to_pandas().assign(status="ok")
        df = fail(df, np.ones(len(df), bool), "diverged")
        directory.write(part, {"cells": pa.Table.from_pandas(df, table.schema)}, {"seconds": 1.0, "engine": "scan"})
    assert report.main([str(directory.path)]) == 0
    page = Page((directory.path / "figures" / "report.html").read_text())
    assert "All cells failed" in page.text and "No network of this run moves" in page.text
    assert "on how many cores the parts do not say" in page.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--where", "q=4"], 2, "`--where` must name axes of the table"),
        (["--where", "N=7"], 2, "`--where` must give N a value that it has here"),
        (["--where", "N"], 2, "`--where` must be AXIS=VALUE"),
        (["--out", "page.pdf"], 2, "`--out` must end in .html, got 'page.pdf'"),
        (["--gallery", "-1"], 2, "`--gallery` must be 0 to 100 portraits, got -1"),
        (["--gallery", "many"], 2, "'many'"),
        (["--colour", "red"], 2, "--colour"),
        (["--gallery", "0", "--out", "/proc/nowhere/page.html"], 1, "/proc/nowhere"),
    ],
)
def test_slips_are_one_line(
    arguments: list[str], code: int, message: str, networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(networks), *arguments]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err


def test_what_is_no_run_is_one_line(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged" / networks.name
    shutil.copytree(networks, damaged)
    part = next((damaged / "cells").iterdir())
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(bytes(content))
    unbegun = tmp_path / "unbegun" / networks.name
    shutil.copytree(networks, unbegun)
    shutil.rmtree(unbegun / "cells")
    for path, message in (
        (tmp_path, "is no run directory"),
        (tmp_path / "nowhere", "is no run directory"),
        (damaged, "is damaged"),
        (unbegun, "has no finished part yet"),
    ):
        assert report.main([str(path)]) == 1
        said = capsys.readouterr()
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and message in said.err
    assert report.main([]) == 2
