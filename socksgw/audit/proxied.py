"""
What the record keeps of a PROXY header.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted

from socksgw.audit.texts import place, shown
from socksgw.wire.proxyheader import Origin

__all__ = ["proxiedMembers"]


def proxiedMembers(origin: Origin) -> str:
    """
    Return the JSON members about the sender of a header, with a comma before each.

    Whatever the sender tells is escaped and cut, as what a client sends.
    """
    header = origin.header
    members = f',"sender":{place(origin.sender, origin.port)}'
    if header.destination is not None:
        members += f',"sender_to":{place(*header.destination)}'
    if header.told:
        told = [f"{quoted(key)}:{shown(each)}" for key, each in header.told.items()]
        members += f',"told":{{{",".join(told)}}}'
    return members
