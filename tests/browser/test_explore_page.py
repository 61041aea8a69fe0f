"""The explorer in a real browser, as a person uses it: Debian's Chromium, driven by Playwright.

`make test-browser` needs `apt-get install chromium`. Latencies are printed (`-s` shows them), and held to bounds that
leave room for a machine with other work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = Path("/usr/bin/chromium")
SEEDS, VALUES = 12, 24
# Seconds, twice what two cores with nothing else to do are asked for.
FIRST, FULL, FIRST_OF_SHAPE = 1.0, 4.0, 4.0

# When somebody last clicked or typed, and when pictures came.
WATCH = """() => {
    const models = () => [...Bokeh.documents[0]._all_models.values()]
    window.named = (name) => models().find((model) => model.name == name)
    window.pictures = []
    const source = named("portrait").renderers[0].data_source
    source.properties.data.change.connect(() => window.pictures.push(performance.now()))
    const asked = () => { window.asked = performance.now(); window.pictures = [] }
    for (const event of ["pointerup", "keydown"]) window.addEventListener(event, asked, true)
}"""
PLACE = """([name, x, y]) => {
    const view = Bokeh.index.find_one(named(name))
    const box = view.el.getBoundingClientRect()
    return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without compiled programs, and with an offer of others' resources, which is to be refused."""
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")), "BOKEH_RESOURCES": "cdn"}


@pytest.fixture(scope="module")
def address(home: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that shows a small run."""
    out = tmp_path_factory.mktemp("results")
    grid = [f"grid.seed.num={SEEDS}", f"grid.s.num={VALUES}", "measure.steps=2000", "measure.transient=2000"]
    sweep = [sys.executable, "-m", "sweeps.run", "experiment=order_to_chaos", *grid, f"output={out}"]
    done = subprocess.run(sweep, cwd=ROOT, env=home, check=True, capture_output=True, text=True)
    run = done.stdout.split()[-1]
    command = [sys.executable, "-m", "analysis.explore", run, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=home, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 130


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("BROWSER_OR_SKIP"):
            pytest.skip("no chromium here")
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium", pytrace=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One page, and all that it said and asked for."""

    def __init__(self, browser: Any, address: str, query: str = "") -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.hosts: set[str | None] = set()
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        self.page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).hostname))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(request.url))
        self.page.goto(address + query)
        self.page.wait_for_function(
            "window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle", timeout=30_000
        )
        self.page.evaluate(WATCH)

    @property
    def shown(self) -> dict[str, str]:
        """What the address says."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def settled(self) -> None:
        """The full picture is there."""
        self.page.wait_for_function("named('state').text.includes('10,4')", timeout=30_000)

    def click(self, name: str, x: float, y: float) -> None:
        self.page.mouse.click(*self.page.evaluate(PLACE, [name, x, y]))

    def type(self, name: str, text: str) -> None:
        field = self.page.locator(f"#{name} input")
        field.fill(text)
        field.press("Enter")

    def seconds(self, pictures: int = 1) -> float:
        """From the last click or key to the picture of this number."""
        self.page.wait_for_function(f"window.pictures.length >= {pictures}", timeout=30_000)
        return self.page.evaluate(f"(window.pictures[{pictures - 1}] - window.asked) / 1000")

    def close(self) -> None:
        self.page.close()
        assert self.hosts == {"127.0.0.1"}
        assert self.wrong == []


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    visit.settled()
    yield visit
    visit.close()


def test_a_click_answers_at_once(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    first, full = [], []
    for column, row in ((20, 3), (5, 7), (15, 10), (23, 0), (12, 5)):
        visit.click("diagram", column, row)
        first.append(visit.seconds())
        full.append(visit.seconds(3))
        assert visit.shown["cell"] == str(VALUES * row + column)
        assert visit.shown["seed"] == str(row)
    with capsys.disabled():
        print(f"\nclick to first picture {max(first):.2f} s at most, to the full one {max(full):.2f} s")
    assert sorted(first)[2] < FIRST and sorted(full)[2] < FULL
    # The list names the network, and its exponents came too.
    assert "λ₁" in visit.page.evaluate("named('words').text")
    visit.page.get_by_text("seed = 5: 1 cell; cell ").wait_for()


def test_a_new_shape_is_seen_while_it_compiles(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for N, D in ((5, 19), (7, 28)):
        visit.type("field_N", str(N))
        visit.seconds()
        visit.type("field_D", str(D))
        found.append(visit.seconds())
        assert visit.shown["N"] == str(N) and visit.shown["D"] == str(D)
    with capsys.disabled():
        print(f"\nnew N and D to first picture {', '.join(f'{each:.2f}' for each in found)} s")
    assert min(found) < FIRST_OF_SHAPE
    visit.settled()


def test_the_page_follows_its_controls(visit: Visit) -> None:
    page = visit.page
    visit.type("field_s", "3.25")
    visit.seconds()
    assert visit.shown["s"] == "3.25"
    visit.click("diagram", 10, 5)  # a network of the list, which must not keep the keys to itself
    visit.seconds()
    s = float(visit.shown["s"])
    page.locator("#slider_s .noUi-handle").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(200)
    page.wait_for_function(f"new URLSearchParams(window.location.search).get('s') > {s + 0.03}")
    assert float(visit.shown["s"]) < s + 0.4 and "cell" not in visit.shown
    visit.click("along", 1.5, 0)
    page.wait_for_function("Math.abs(new URLSearchParams(window.location.search).get('s') - 1.5) < 0.02")
    page.locator("#surprise button").press("Enter")
    before = visit.shown["seed"]
    page.wait_for_function(f"!window.location.search.includes('seed={before}&')", timeout=20_000)
    page.locator("#across select").select_option("y")
    page.wait_for_function("window.location.search.includes('across=y&')")
    page.locator("#measure select").select_option(label="share of chaos")
    page.wait_for_function("window.location.search.includes('measure=chaotic')")


def test_a_network_is_picked_from_a_list(visit: Visit) -> None:
    visit.page.locator("#y select").select_option(label="(pooled)")
    visit.page.wait_for_function("window.location.search.includes('pooled')")
    visit.click("diagram", 20, 0)
    visit.page.get_by_text(f": {SEEDS} cells").wait_for()
    visit.page.locator("#list .slick-row").nth(1).click()
    visit.seconds()
    assert visit.shown["cell"] == str(VALUES + 20) and visit.shown["seed"] == "1"


def test_a_bad_number_gets_a_red_line(visit: Visit) -> None:
    visit.type("field_seed", "seventy")
    line = visit.page.get_by_text("`seed` must be a whole number between 0 and 4,294,967,295, got 'seventy'")
    line.wait_for()
    assert line.evaluate("(line) => getComputedStyle(line).color") == "rgb(176, 0, 32)"
    visit.type("field_cell", "100000")
    visit.page.get_by_text(f"`cell` must be the number of a cell of this run (0 to {SEEDS * VALUES - 1})").wait_for()
    visit.type("field_seed", "71")
    visit.seconds()
    assert visit.shown["seed"] == "71"
    line.wait_for(state="hidden")


def test_an_address_restores_the_page(browser: Any, address: str) -> None:
    query = "?N=6&D=12&seed=9&replicate=2&s=1.75&across=y&up=y-1&x=s&y=seed&measure=lambda_1"
    visit = Visit(browser, address, query)
    visit.settled()
    assert visit.page.url == address + query
    values = {name: visit.page.locator(f"#field_{name} input").input_value() for name in ("N", "D", "seed", "s")}
    assert values == {"N": "6", "D": "12", "seed": "9", "s": "1.75"}
    visit.close()
    visit = Visit(browser, address, "?cell=100&s=fast&across=x9&measure=beauty")
    visit.page.get_by_text("`s` must be a number between 0 and 1e+06, got 'fast'").wait_for()
    visit.page.get_by_text("`measure` must be one of").wait_for()
    visit.settled()
    assert visit.shown["cell"] == "100"
    visit.close()


def test_fifty_clicks_leave_it_alive(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    for n in range(50):
        column, row = (7 * n + 3) % VALUES, (5 * n) % SEEDS
        visit.click("diagram", column, row)
        visit.page.wait_for_timeout(60)
    clicked = time.monotonic() - start
    wanted = f"cell={VALUES * row + column}"
    visit.page.wait_for_function(f"window.location.search.endsWith('{wanted}')", timeout=20_000)
    visit.settled()
    settled = time.monotonic() - start - clicked
    with capsys.disabled():
        print(f"\n50 clicks in {clicked:.1f} s, the last one's full picture {settled:.1f} s after it")
    assert settled < 10
    visit.click("diagram", 2, 2)
    assert visit.seconds() < 4 * FIRST


def test_what_is_saved(visit: Visit, tmp_path: Path) -> None:
    visit.click("diagram", 20, 3)
    visit.seconds(3)
    for button, suffix in (("PNG", ".png"), ("experiment", ".yaml"), ("Python", ".py")):
        with visit.page.expect_download() as saving:
            visit.page.locator(f"#save_{button} button").press("Enter")
        assert saving.value.suggested_filename.endswith(suffix)
        saving.value.save_as(tmp_path / f"saved{suffix}")
    assert (tmp_path / "saved.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert yaml.safe_load((tmp_path / "saved.yaml").read_text())["grid"]["seed"] == 3
    assert len((tmp_path / "saved.py").read_text().splitlines()) == 3


def test_all_of_it_fits(visit: Visit, tmp_path: Path) -> None:
    visit.click("diagram", 20, 3)
    visit.seconds(3)
    picture = Path(os.environ.get("EXPLORE_SCREENSHOT", tmp_path / "explore.png"))
    visit.page.screenshot(path=picture)
    size = visit.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= 1280 and size[1] <= 800
