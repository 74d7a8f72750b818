"""
Which listener the program for browsers (C{[pac]}) sends them to.
"""

from __future__ import annotations

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config, Listen

__all__ = ["listenerOf", "proxyAt"]


def listenerOf(config: Config, name: str = "") -> Listen:
    """
    Return the listener that browsers are sent to.

    @param name: its name; empty for the only one that speaks HTTP.
    @raise ValueError: there is none, or there are several.
    """
    able = [
        each
        for each in config.listen
        if "http" in each.spoken and any(_portOf(text) for text in each.address)
    ]
    if name:
        for each in able:
            if each.name == name:
                return each
        raise ValueError(
            f'"{name}" is no listener with a port that has "http" among its protocols'
        )
    if len(able) == 1:
        return able[0]
    if not able:
        raise ValueError('no listener with a port has "http" among its protocols')
    names = ", ".join(f'"{each.name}"' for each in able)
    raise ValueError(f"several listeners speak HTTP: name one of {names}")


def proxyAt(listen: Listen, host: str) -> str:
    """
    Return what the program answers for what goes to a listener.

    @param host: what browsers call it; IPv6 in brackets.
    """
    port = next(filter(None, map(_portOf, listen.address)))
    return f"{'PROXY' if listen.tls is None else 'HTTPS'} {host}:{port}"


def _portOf(text: str) -> int:
    """Return the port of an address; 0 for none, and for any."""
    try:
        return parseListenAddress(text)[1]
    except ValueError:
        return 0
