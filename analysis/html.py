"""How does a report become a page? Elements of HTML from words and numbers, in one file that fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

VOID = ("img", "meta", "br")  # elements that have no content, and no end

STYLE = """
:root { --ink: #1a1a1a; --soft: #5a5f66; --line: #d9dce0; --paper: #fdfdfb; --tint: #f3f4f1; --warm: #9a4a08; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.2rem 1.6rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 "Source Sans 3", "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; }
header { border-bottom: 2px solid var(--ink); padding-bottom: .9rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .7rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
header p, figcaption, .soft { color: var(--soft); }
a { color: #1d4f7c; }
nav ol { display: flex; flex-wrap: wrap; gap: .15rem 1.5rem; list-style: none; margin: .9rem 0 0; padding: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .8rem;
  margin: 1rem 0 1.4rem; }
.tiles div { background: var(--tint); border-radius: 4px; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .86rem; line-height: 1.3; display: block; }
.bar { display: flex; height: 1.9rem; border: 1px solid #555; margin: .8rem 0 .5rem; }
.bar span { display: block; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; font-size: .9rem; margin: 0 0 1rem; padding: 0;
  list-style: none; }
.key i { display: inline-block; width: .85rem; height: .85rem; border: 1px solid #555; margin-right: .4rem;
  vertical-align: -.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .7rem 0 1rem; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 1px solid var(--ink); font-weight: 600; vertical-align: bottom; }
th.word, td.word { text-align: left; overflow-wrap: anywhere; }
td.word.name { font-weight: 600; white-space: nowrap; }
pre, code { font: .86rem/1.5 "DejaVu Sans Mono", Consolas, monospace; overflow-wrap: anywhere; }
pre { background: var(--tint); border-radius: 4px; padding: .8rem 1rem; white-space: pre-wrap; }
.found { color: var(--warm); font-weight: 600; white-space: nowrap; }
figure { margin: 1.1rem 0 1.6rem; }
figure img { display: block; width: 100%; height: auto; }
figcaption { font-size: .9rem; margin-top: .35rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.2rem;
  margin-top: 1rem; }
.gallery figure { margin: 0; }
.gallery figcaption { font-size: .82rem; line-height: 1.4; }
.gallery b { color: var(--ink); }
li { max-width: 46rem; margin: .25rem 0; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; background: white; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, tr, .tiles, .bar { break-inside: avoid; }
  .gallery { grid-template-columns: repeat(4, 1fr); gap: .6rem; }
  .tiles div, pre, .bar span, .key i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


class Html(str):
    """Text that is HTML already. Every other string is escaped where it enters an element."""


@dataclass(frozen=True)
class Section:
    """A heading, where the table of contents finds it, and what stands below."""

    anchor: str
    title: str
    body: Html


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. A name that Python has taken gets an underscore: class_."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{joined(*content)}</{name}>")


def joined(*content: object) -> Html:
    """Pieces one after the other."""
    return Html("".join(piece if isinstance(piece, Html) else escape(str(piece)) for piece in content))


def paragraph(*content: object, **attributes: object) -> Html:
    return element("p", *content, **attributes)


def items(lines: Iterable[object], **attributes: object) -> Html:
    """A list, an item a line."""
    return element("ul", *(element("li", line) for line in lines), **attributes)


def code(lines: str) -> Html:
    """Lines as they stand."""
    return element("pre", element("code", lines))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, words: int = 1, caption: str = "") -> Html:
    """A table, its first `words` columns set as words and the others as numbers."""

    def row(kind: str, cells: Sequence[object], scope: dict[str, object]) -> Html:
        return element("tr", *(
            element(kind, cell, **scope, **({"class_": "word name" if i == 0 else "word"} if i < words else {}))
            for i, cell in enumerate(cells)
        ))  # fmt: skip

    named = [element("caption", caption)] if caption else []
    top = [element("thead", row("th", head, {"scope": "col"}))] if head else []
    body = element("tbody", *(row("td", cells, {}) for cells in rows))
    return element("div", element("table", *named, *top, body), class_="wide")


def picture(png: bytes, alt: str, *caption: object) -> Html:
    """A picture that the page carries with it.

    Args:
        alt: what it shows, for those who do not see it.
    """
    image = element("img", src=f"data:image/png;base64,{base64.b64encode(png).decode()}", alt=alt)
    return element("figure", image, *([element("figcaption", *caption)] if caption else []))


def page(title: str, lead: object, sections: Sequence[Section]) -> Html:
    """The whole file: a heading, a table of contents, and the sections."""
    contents = (element("li", element("a", each.title, href=f"#{each.anchor}")) for each in sections)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content="attractor_jax"),
        element("title", title),
        # No icon: a browser would ask the server for one.
        Html('<link rel="icon" href="data:,">'),
        Html(f"<style>{STYLE}</style>"),
    )
    body = element(
        "body",
        element("header", element("h1", title), paragraph(lead)),
        element("nav", element("ol", *contents), aria_label="Contents"),
        element(
            "main",
            *(
                element("section", element("h2", section.title), section.body, id=section.anchor)
                for section in sections
            ),
        ),
    )
    return Html(f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n")
