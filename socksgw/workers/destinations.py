"""
Where a client connected to last, whichever worker it was at.

A worker that has to know asks its supervisor, which asks all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from socksgw.gateway.networks import Networks
from socksgw.route.outward import Last
from socksgw.system.channel import Message
from socksgw.system.domains import Domain
from socksgw.wire.address import Address

__all__ = ["LAST", "answer", "lastsIn", "question", "together"]

#: The question.
LAST: Final = "last"


def question(domain: Domain, client: tuple[bytes, str], version: int) -> Message:
    """
    Return the question.

    @param client: the key of its source, and its user.
    @param version: of the address that it connected to.
    """
    source, user = client
    return {
        "do": LAST,
        "domain": list(domain),
        "client": [source.hex(), user],
        "version": version,
    }


def answer(message: Mapping[str, Any], networks: Networks) -> Message:
    """Return what one worker answers, by its networks."""
    (kind, name), (source, user) = message["domain"], message["client"]
    client = bytes.fromhex(source), str(user)
    found = networks.last(Domain(kind, name), client, int(message["version"]))
    if found is None:
        return {"lasts": []}
    return {"lasts": [[found.when, found.destination.text]]}


def together(answers: Iterable[Mapping[str, Any]]) -> Message:
    """Return what all of them have answered, as one answer."""
    return {"lasts": [each for found in answers for each in found["lasts"]]}


def lastsIn(message: Mapping[str, Any]) -> list[Last]:
    """Return what an answer says."""
    return [Last(float(when), Address.parse(text)) for when, text in message["lasts"]]
