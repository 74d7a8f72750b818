"""
C{[pac]}: where the program for browsers is served, and where it sends them.
"""

from __future__ import annotations

import re
from typing import Final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.pac import listenerOf

__all__ = ["examinePac"]

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def examinePac(config: Config, problems: Problems) -> None:
    """Examine the addresses, the listener and the name."""
    pac = config.pac
    if pac is None:
        return
    if not pac.address:
        problems.wrong(
            "pac.address", 'name where it is served, such as ["10.0.0.2:8080"]'
        )
    taken = {text: listen.name for listen in config.listen for text in listen.address}
    for i, text in enumerate(pac.address):
        try:
            _, port = parseListenAddress(text)
        except ValueError as e:
            problems.wrong(f"pac.address[{i}]", f'"{text}" {e}')
            continue
        if port and text in taken:
            problems.wrong(
                f"pac.address[{i}]", f'the listener "{taken[text]}" has {text}'
            )
    try:
        listenerOf(config, pac.listener)
    except ValueError as e:
        problems.wrong("pac.listener", str(e))
    if pac.host and not _HOST.fullmatch(pac.host):
        problems.wrong("pac.host", "is neither a name nor an address")
