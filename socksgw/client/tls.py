"""
TLS to a proxy, around any endpoint.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlspeer import TLSPeer

__all__ = ["overTLS"]


def overTLS(
    proxyEndpoint: Any,
    name: str,
    *,
    ca: str | PathLike[str] | None = None,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    reactor: Any = None,
) -> Any:
    """
    Return an endpoint that reaches a proxy by TLS.

    The proxy has to speak TLS 1.2 or newer, and to prove its name before anything is
    sent to it. There is no way to skip that. Files that change are read again.

    @param proxyEndpoint: leads to the proxy (C{IStreamClientEndpoint}).
    @param name: the DNS name or IP address that the proxy's certificate is for.
    @param ca: a PEM file with the authorities that are believed; by default those of
        the system.
    @param certificate: a PEM file with what is shown to a proxy that asks for a
        certificate, and the certificates between it and the root.
    @param key: its private key; by default it is in the same file. Nobody else may be
        able to read it.
    @param reactor: the one that C{proxyEndpoint} uses, where it is not the process's
        own: TLS collects small writes by it.
    @raise ValueError: the name is none, or a file cannot be used; the text says why.
    """
    files = ClientTLS(name, *map(_path, (ca, certificate, key)))
    return TLSPeer(name, context=files.context).over(proxyEndpoint, reactor)


def _path(name: str | PathLike[str] | None) -> Path | None:
    return None if name is None else Path(name)
