"""
What is aimed at, and what the benchmarks say of a figure beside its aim.

L{AIMS} has those of run.py; programs with one aim or two name them themselves.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

#: Of each peer: of each round: the figures.
Results = dict[str, list[dict[str, float]]]

#: Peers that another proxy can be the best of.
SOCKS: Final = ("dante", "microsocks", "hev", "asyncio-socks-server")
HTTP: Final = ("squid", "tinyproxy")


class Aim(NamedTuple):
    """
    A bound of one figure.

    @ivar bound: by itself; with C{peers}, times the lowest figure of theirs.
    @ivar row: the figure.
    @ivar peers: beside whom.
    @ivar of: their figure, where it is another one.
    @ivar whose: whose figure it is.
    @ivar least: the figure is to reach the bound, and not to exceed it.
    @ivar plus: the bound is what may be added to the peers' figure.
    """

    bound: float
    row: str
    peers: Sequence[str] = ()
    of: str = ""
    whose: str = "socksgw"
    least: bool = False
    plus: bool = False


AIMS: Final = (
    Aim(1.05, "session CPU us", ["microsocks"]),
    Aim(1.2, "login session CPU us", ["microsocks"], "session CPU us"),
    Aim(0.85, "200/s CPU us", ["dante"]),
    Aim(1.0, "200/s p99 ms", ["dante"], plus=True),
    Aim(0.7, "single session CPU us", ["dante"]),
    Aim(0.6, "round trip CPU us", ["dante"]),
    Aim(0.4, "UDP echo CPU us", ["dante"]),
    Aim(0.9, "UDP echo CPU us", ["hev"]),
    Aim(1.0, "SOCKS 6 session CPU us", ["socksgw"], "session CPU us"),
    Aim(1.1, "CONNECT session CPU us", ["socksgw"], "session CPU us"),
    Aim(0.7, "CONNECT session CPU us", HTTP),
    Aim(1.6, "session CPU us", ["socksgw"], whose="through"),
    Aim(0, "storm refused"),
    Aim(0, "storm again refused"),
    # Of rates the load generator has its part, which is on the same cores.
    Aim(1.9, "session per s", ["socksgw"], whose="workers", least=True),
    Aim(1.14, "session CPU us", ["socksgw"], whose="workers"),
    Aim(1.9, "down 32 Gbit s", ["socksgw"], whose="workers", least=True),
    Aim(1.14, "down 32 CPU s GiB", ["socksgw"], whose="workers"),
    Aim(1.2, "down 1 CPU s GiB", ["socksgw"], whose="through"),
    Aim(1.4, "down 32 CPU s GiB", ["socksgw"], whose="through"),
    Aim(0.5, "down 1 CPU s GiB", SOCKS),
    Aim(0.35, "down 32 CPU s GiB", SOCKS),
    Aim(0.5, "up 1 CPU s GiB", SOCKS),
    Aim(0.35, "up 32 CPU s GiB", SOCKS),
    Aim(6, "idle KiB"),
    Aim(10, "association KiB"),
    Aim(2, "new association descriptors"),
    Aim(2, "association descriptors"),
)


def verdict(held: bool) -> str:
    """Return the word for an aim that holds, or does not."""
    return "ok" if held else "NOT REACHED"


def median(results: Results, name: str, row: str) -> float | None:
    """Return that of all rounds; L{None}: it was not measured."""
    values = [r[row] for r in results.get(name, []) if row in r]
    return statistics.median(values) if values else None


def table(results: Results) -> str:
    """Return the medians, side by side."""
    rows = list(dict.fromkeys(k for v in results.values() for r in v for k in r))
    lines = [f"{'median':<28}" + "".join(f"{name:>22}" for name in results)]
    for row in rows:
        line = f"{row:<28}"
        for name in results:
            found = median(results, name, row)
            line += f"{'-':>22}" if found is None else f"{found:>22.3f}"
        lines.append(line)
    return "\n".join(lines)


def told(results: Results, missing: Mapping[str, str]) -> Iterator[str]:
    """
    Yield a line for each aim whose figure was measured.

    @param missing: peers that could not be measured, and why.
    """
    for aim in AIMS:
        ours = median(results, aim.whose, aim.row)
        if ours is not None:
            row = aim.row if aim.whose == "socksgw" else f"{aim.whose}: {aim.row}"
            yield f"{row:<28} {_beside(results, aim, ours, missing)}"


def _beside(results: Results, aim: Aim, ours: float, missing: Mapping[str, str]) -> str:
    """Return a figure beside its aim, with the verdict."""
    bound = f"aim {'at least ' if aim.least else ''}{aim.bound}"
    if not aim.peers:
        return f"{ours:5.1f} ({bound}): {verdict(ours <= aim.bound)}"
    row = aim.of or aim.row
    theirs = {x: y for x in aim.peers if (y := median(results, x, row)) is not None}
    absent = ", ".join(
        missing.get(each, f"{each} was not asked for")
        for each in aim.peers
        if each not in theirs
    )
    if not theirs:
        return f"({bound}): not measured, {absent}"
    best = min(theirs.values())
    how: Callable[[float], float] = (
        (lambda figure: figure - best) if aim.plus else (lambda figure: figure / best)
    )
    found = how(ours)
    text = f"{found:+5.2f} to" if aim.plus else f"{found:5.2f} x"
    text += f" {'the best of ' if len(theirs) > 1 else ''}{', '.join(theirs)}"
    text += f"'s {aim.of}" if aim.of else ""
    held = found >= aim.bound if aim.least else found <= aim.bound
    text += f" ({bound}): {verdict(held)}"
    bare = median(results, "bare", row)
    if bare is not None and not held and "socksgw" not in aim.peers:
        text += f" (bare: {how(bare):.2f})"
    return f"{text}; not measured: {absent}" if absent else text
