"""
What the record keeps of TLS.
"""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

from socksgw.audit.texts import named
from socksgw.system.tlssession import TLSSession

__all__ = ["pathMembers", "tlsMembers"]


@lru_cache(256)
def tlsMembers(tls: TLSSession) -> str:
    """
    Return the JSON members about TLS with a client, with a comma before each.

    They are remembered: clients come again, and most agree on the same.
    """
    return (
        f',"tls_version":{quoted(tls.version)}'
        + named("tls_group", tls.group)
        + named("fingerprint", tls.fingerprint)
        + named("serial", tls.serial)
    )


@lru_cache(256)
def pathMembers(tls: TLSSession) -> str:
    """Return the JSON member about TLS with an upstream."""
    parts = filter(None, (tls.version, tls.group, tls.fingerprint))
    return named("path_tls", " ".join(parts))
