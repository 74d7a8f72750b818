"""
The files of listeners' TLS, and the clients that logged in by certificate.

Both are looked at again and again while the gateway runs; so are the clients that
another gateway, by TLS, has signed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, final

from twisted.logger import Logger

from socksgw.accept.asserted import AssertedLayer
from socksgw.accept.certificates import ServerTLS
from socksgw.accept.listener import Listener
from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.schema import Config
from socksgw.errors import Revoked
from socksgw.system.upkeep import defect

__all__ = ["Certificates"]

_log = Logger()

#: Why no gateway is believed.
_NOBODY: Final = "no gateway is believed here any more"


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

    def look(self, name: str, tls: ServerTLS, asserted: AssertedLayer | None) -> None:
        """
        Read changed files again, record that, and judge the clients if need be.

        @param name: the listener's name.
        @param asserted: what takes the word of other gateways there.
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
            self.recheck(name, tls, asserted)

    def recheck(self, name: str, tls: ServerTLS, asserted: AssertedLayer | None) -> int:
        """
        End the clients of a listener whose proof is not accepted any more.

        That is their own certificate, or the word of the gateway before this one.

        @param name: the listener's name.
        @param asserted: as of L{look}.
        @return: the number of clients that were ended.
        """
        ended = 0
        everybody = self._gateway.config.gateway.enforce == "all"
        for client in list(self._gateway.listeners[name].clients):
            signer, identity = client.signer, client.identity
            if not (everybody or client.halfOpen):
                continue
            what, why = "certificate", ""
            try:
                if signer is not None:
                    identity = signer.identity
                    why = _NOBODY if asserted is None else asserted.objection(signer)
                    what = "gateway" if why else what
                if identity is not None and not why:
                    why = tls.objection(identity, living=True)
            except Exception as e:
                defect(f"the check of a {what}", e)
                why = "it could not be judged again"
            if why:
                client.end(Revoked(f"the client's {what}: {why}"))
                ended += 1
        return ended
