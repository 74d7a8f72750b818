"""
What the gateway tells the process of the sinks, and what that tells the gateway.

Both go through pipes as lines of JSON. Secrets are in them, and nowhere else: neither
in arguments nor in the environment, which other programs may see.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import asdict, evolve, field, frozen

from socksgw.config.settings import Settings
from socksgw.interfaces import Entry, SinkSettings

__all__ = ["FINISH", "Order", "Orders", "Standing", "settingsOf"]

#: Tells the process to deliver what there is, and to end.
FINISH: Final = b"finish\n"


@frozen
class Order:
    """
    One sink to be followed.

    @ivar name: its name.
    @ivar kind: its kind.
    @ivar module: the module of its plug-in.
    @ivar target: where to; may hold a password.
    @ivar format: the name of its format; empty for none.
    @ivar begin: C{first} or C{next}: where it begins.
    @ivar options: the other keys of its table.
    @ivar files: the contents of files that the table names, by their keys.
    @ivar directory: the directory of the configuration file.
    @ivar gateway: the gateway's name.
    """

    name: str
    kind: str
    module: str
    target: str = field(repr=False)
    format: str
    begin: str
    options: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    directory: str
    gateway: str


def settingsOf(
    order: Order,
    state: Path,
    wrong: Callable[[str, str], None] | None = None,
    files: dict[str, bytes] | None = None,
    aside: Callable[[Entry, str], None] | None = None,
) -> SinkSettings:
    """
    Return what the plug-in of a sink is told.

    @param state: C{state_dir}.
    @param wrong: called with the key and the text of each mistake.
    @param files: where the contents of files are added; by default files are those of
        the order, and no other is read twice.
    @param aside: as of L{SinkSettings}; by default no line can be put aside.
    """
    options = Settings(
        order.options,
        Path(order.directory),
        name=order.name,
        wrong=wrong,
        files=dict(order.files) if files is None else files,
    )
    settings = SinkSettings(
        order.name,
        order.kind,
        order.target,
        order.format,
        options,
        state,
        order.gateway,
    )
    return settings if aside is None else evolve(settings, aside=aside)


@frozen
class Orders:
    """
    All sinks of one configuration.

    @ivar journal: the directory of the journal.
    @ivar state: C{state_dir}.
    @ivar sinks: the sinks.
    @ivar last: the number of the journal's last line when this was ordered.
    """

    journal: str
    state: str
    sinks: tuple[Order, ...] = ()
    last: int = 0

    def octets(self) -> bytes:
        """Return the line that L{of} reads."""
        found = asdict(self)
        for each in found["sinks"]:
            each["files"] = {
                key: b64encode(octets).decode() for key, octets in each["files"].items()
            }
        return json.dumps(found, default=str).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Orders:
        """Return what a line says."""
        found = json.loads(line)
        sinks = []
        for each in found.pop("sinks"):
            files = each.pop("files")
            each["files"] = {key: b64decode(text) for key, text in files.items()}
            sinks.append(Order(**each))
        return cls(**found, sinks=tuple(sinks))


@frozen
class Standing:
    """
    How one sink is doing.

    @ivar sink: its name.
    @ivar state: C{opening}, C{following} or C{failing}.
    @ivar position: the number of the last line that it has.
    @ivar saved: the same, as it is known after a crash: files are kept from there on.
        L{None} while it is not known.
    @ivar delivered: how many lines it got since the process began.
    @ivar failures: how often it failed since then.
    @ivar missed: how many lines it will never get, since they were dropped before.
    @ivar aside: how many lines were put aside, since nobody takes them.
    @ivar why: why it fails.
    """

    sink: str
    state: str = "opening"
    position: int = 0
    saved: int | None = None
    delivered: int = 0
    failures: int = 0
    missed: int = 0
    aside: int = 0
    why: str = ""

    @staticmethod
    def octets(standings: Sequence[Standing]) -> bytes:
        """Return the line that L{every} reads."""
        return json.dumps([asdict(each) for each in standings]).encode() + b"\n"

    @staticmethod
    def every(line: bytes) -> list[Standing]:
        """Return what a line says."""
        return [Standing(**each) for each in json.loads(line)]
