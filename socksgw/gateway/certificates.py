"""
The files of listeners' TLS, and the clients that logged in by certificate.

Both are looked at again and again while the gateway runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

from twisted.logger import Logger

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.listener import Listener
from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.schema import Config
from socksgw.errors import Revoked
from socksgw.system.upkeep import defect

__all__ = ["Certificates"]

_log = Logger()


class Service(Protocol):
    """The parts of a gateway that L{Certificates} needs."""

    @property
    def config(self) -> Config: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def listeners(self) -> Mapping[str, Listener]: ...


@final
class Certificates:
    """
    Reads changed files again, and judges client certificates again.
    """

    def __init__(self, gateway: Service) -> None:
        self._gateway = gateway

    def look(self, name: str, tls: ServerTLS) -> None:
        """
        Read changed files again, record that, and judge the clients if need be.

        @param name: the listener's name.
        """
        journal = self._gateway.journal
        changes = tls.refresh()
        if changes.problems:
            for line in changes.problems:
                _log.error('TLS of "{name}": {line}', name=name, line=line)
            journal.append(process.tlsFailedLine(name, changes.problems))
        if changes.read:
            journal.append(process.tlsReadLine(name, changes.read))
        if changes.rejudge:
            self.recheck(name, tls)

    def recheck(self, name: str, tls: ServerTLS) -> int:
        """
        End the clients of a listener whose certificate is not accepted any more.

        @param name: the listener's name.
        @return: the number of clients that were ended.
        """
        ended = 0
        everybody = self._gateway.config.gateway.enforce == "all"
        for client in list(self._gateway.listeners[name].clients):
            if client.identity is None or not (everybody or client.halfOpen):
                continue
            try:
                why = tls.objection(client.identity, living=True)
            except Exception as e:
                defect("the check of a certificate", e)
                why = "it could not be judged again"
            if why:
                client.end(Revoked(f"the client's certificate: {why}"))
                ended += 1
        return ended
