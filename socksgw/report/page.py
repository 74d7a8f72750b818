"""
A report as one page of HTML that needs nothing else, and runs no script.

Names come from clients: each value is escaped, and the page's own policy lets nothing
be loaded or run, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from socksgw.report.charts import Bar, bars, spark
from socksgw.report.sheets import Report, Sheet
from socksgw.report.words import headline, moment, octets, shown

__all__ = ["pageOf"]

_STYLE: Final = """
:root{color-scheme:light dark;--back:#fff;--text:#1c2024;--dim:#5b6570;--line:#d8dde3;
--a:#2f6fbb;--b:#c2452d;--c:#8a6db0}
@media(prefers-color-scheme:dark){:root{--back:#14171a;--text:#e6e9ec;--dim:#9aa5b1;
--line:#333a41;--a:#6ba6e8;--b:#ef7b62;--c:#b79ade}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--back);color:var(--text);
font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.15rem;margin:2rem 0 .4rem}
p{margin:.3em 0}.dim{color:var(--dim)}
nav a{color:var(--a);margin-right:1em;white-space:nowrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.t{white-space:nowrap}td.x{min-width:7rem}
.spark{display:block;width:5rem;height:.6rem;margin-top:.4rem}
figure{margin:1rem 0}figcaption{font-weight:600}
.chart{width:100%;height:auto}.chart text{fill:var(--dim);font-size:11px}
.grid{stroke:var(--line)}.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}
@media(max-width:40rem){.chart text{font-size:17px}}
.key{margin-left:1em;font-weight:400;white-space:nowrap}
.key svg{width:.7em;height:.7em;margin-right:.3em}
@media(max-width:40rem){body{padding:.6rem;font-size:15px}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
td,td.n,td.t{display:flex;justify-content:space-between;gap:1rem;border:0;
padding:.1rem .2rem;text-align:right;white-space:normal}
td::before{content:attr(data-name);color:var(--dim);text-align:left;white-space:nowrap}
td.bar{display:none}}
@media print{nav{display:none}}
"""
#: What the page may load or run: its own style.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_NUMBERS: Final = ("count", "octets", "seconds")
#: Characters that change the direction of text, or are not shown.
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def _safe(text: str) -> str:
    """Return text for HTML; what people cannot see is written as an escape."""
    seen = _HIDDEN.sub(lambda match: ascii(match[0])[1:-1], text)
    return escape(seen, quote=True)


def pageOf(report: Report) -> str:
    """Return the page of a report."""
    sheets = [each for each in report.sheets if each.rows]
    title = _safe(f"{report.gateway}: report of {moment(report.since)[:10]}")
    first, *rest = headline(report)
    links = "".join(
        f'<a href="#{each.name}">{_safe(each.title)}</a>' for each in sheets
    )
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n"
        f"<h1>{_safe(report.gateway)}</h1>\n<p>{_safe(first)}</p>\n",
        *(f"<p>{_safe(each)}</p>\n" for each in rest),
        f'</header>\n<nav aria-label="Tables">{links}</nav>\n<main>\n',
        *_charts(report),
        *(part for sheet in sheets if sheet.name != "time" for part in _table(sheet)),
        *(part for sheet in sheets if sheet.name == "time" for part in _table(sheet)),
        f'</main>\n<footer class="dim"><p>{_safe(report.source)}. Times are in UTC; '
        "MB are 10⁶ octets.</p></footer>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _charts(report: Report) -> Iterator[str]:
    sheet = report.sheet("time")
    if sheet is None or len(sheet.rows) < 2:
        return
    rows = [
        (moment(str(t)), float(requests), float(denied), float(sent), float(received))
        for t, requests, denied, sent, received in sheet.rows
    ]
    yield bars(
        "Requests over time",
        [Bar(t[5:], (requests - denied, denied)) for t, requests, denied, _, _ in rows],
        ("a", "b"),
        ("allowed", "denied"),
        lambda number: f"{number:,.0f}",
    )
    yield bars(
        "Octets over time",
        [Bar(t[5:], (received, sent)) for t, _, _, sent, received in rows],
        ("a", "c"),
        ("received", "sent"),
        octets,
    )


def _table(sheet: Sheet) -> Iterator[str]:
    more = (
        f"{len(sheet.rows):,} of {sheet.all:,}" if len(sheet.rows) < sheet.all else ""
    )
    notes = [more, "small ones are not exact" if sheet.approximate else ""]
    note = "; ".join(filter(None, notes))
    heads = "".join(
        f'<th scope="col"{_class(c.kind)}>{_safe(c.name.replace("_", " "))}</th>'
        for c in sheet.columns
    )
    yield (
        f'<section id="{sheet.name}">\n<h2>{_safe(sheet.title)}'
        f"{f' <small class=dim>{note}</small>' if note else ''}</h2>\n"
        '<div class="scroll"><table>\n'
        f"<thead><tr>{heads}<td></td></tr></thead>\n<tbody>\n"
    )
    weights = [_weight(sheet, row) for row in sheet.rows]
    most = max(weights) or 1
    for row, weight in zip(sheet.rows, weights, strict=True):
        cells = "".join(
            f'<td{_class(c.kind)} data-name="{_safe(c.name.replace("_", " "))}">'
            f"{_safe(shown(c, value))}</td>"
            for c, value in zip(sheet.columns, row, strict=True)
        )
        yield f'<tr>{cells}<td class="bar">{spark(weight / most)}</td></tr>\n'
    yield "</tbody>\n</table></div>\n</section>\n"


def _class(kind: str) -> str:
    if kind in _NUMBERS:
        return ' class="n"'
    return ' class="t"' if kind == "time" else ' class="x"'


def _weight(sheet: Sheet, row: tuple[object, ...]) -> float:
    """Return how long the bar of a line is: octets, where there are some."""
    named = dict(zip((each.name for each in sheet.columns), row, strict=True))
    if "count" in named:
        return float(str(named["count"]))
    if sheet.name == "time":
        return float(str(named["requests"]))
    return float(str(named["sent"])) + float(str(named["received"]))
