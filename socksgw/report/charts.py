"""
Charts as inline SVG.

Colours are those of the page's style sheet, by classes; every figure is also in a table
of the page, and each bar has a title.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Bar", "bars", "spark"]

_WIDTH: Final = 720
_HEIGHT: Final = 180
#: Room for the figures at the left, and for the times below.
_LEFT: Final = 64
_BELOW: Final = 22
_ABOVE: Final = 8
#: How many times are written below.
_TIMES: Final = 6


class Bar(NamedTuple):
    """
    One bar of a chart.

    @ivar label: what it is about.
    @ivar parts: its parts from below, each as of the chart's classes.
    """

    label: str
    parts: tuple[float, ...]


def bars(
    title: str,
    given: Sequence[Bar],
    classes: Sequence[str],
    names: Sequence[str],
    text: Callable[[float], str],
) -> str:
    """
    Return a chart of stacked bars.

    @param title: says what is shown, for who does not see it.
    @param classes: the class of each part in the style sheet.
    @param names: the name of each part.
    @param text: returns a figure as people read it.
    """
    most = max((sum(each.parts) for each in given), default=0) or 1
    top = _rounded(most)
    width = (_WIDTH - _LEFT) / max(len(given), 1)
    high = _HEIGHT - _ABOVE - _BELOW
    drawn = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
    ]
    for share in (0.0, 0.5, 1.0):
        y = _ABOVE + high * (1 - share)
        drawn.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(text(top * share))}</text>"
        )
    gap = min(2.0, width * 0.2)
    every = max(1, -(-len(given) // _TIMES))
    for i, bar in enumerate(given):
        x, y = _LEFT + i * width, float(_ABOVE + high)
        said = ", ".join(
            f"{text(part)} {name}" for part, name in zip(bar.parts, names, strict=True)
        )
        drawn.append(f"<g><title>{escape(f'{bar.label}: {said}')}</title>")
        for part, kind in zip(bar.parts, classes, strict=True):
            tall = high * part / top
            y -= tall
            drawn.append(
                f'<rect class="{kind}" x="{x + gap / 2:.1f}" y="{y:.1f}" '
                f'width="{max(width - gap, 0.5):.1f}" height="{tall:.1f}"/>'
            )
        drawn.append("</g>")
        if i % every == 0:
            drawn.append(
                f'<text x="{x:.1f}" y="{_HEIGHT - 6}">{escape(bar.label)}</text>'
            )
    drawn.append("</svg>")
    legend = "".join(
        f'<span class="key"><svg viewBox="0 0 10 10" aria-hidden="true">'
        f'<rect class="{kind}" width="10" height="10"/></svg>{escape(name)}</span>'
        for kind, name in zip(classes, names, strict=True)
    )
    return f"<figure><figcaption>{escape(title)} {legend}</figcaption>{''.join(drawn)}</figure>"


def spark(share: float) -> str:
    """Return a bar in a line of a table, as wide as a share of 1."""
    return (
        '<svg class="spark" viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect class="a" width="{100 * share:.1f}" height="10"/></svg>'
    )


def _rounded(number: float) -> float:
    """Return a round number that is not less than another."""
    power = 1.0
    while power * 10 <= number:
        power *= 10
    while power > number:
        power /= 10
    return next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= number)
