"""
The gateway's own login to a directory by Kerberos.

A keytab takes the place of a password (RFC 4752, in the binds of RFC 4511 section
4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar, final

import gssapi
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding
from gssapi.raw import ChannelBindings
from gssapi.raw.misc import GSSError

from socksgw.login.refusal import Refused, busy
from socksgw.login.stores.ldaplayer import LAYERS, RECEIVES, Layer
from socksgw.login.stores.ldaplinks import Link, NotServed, ResultError
from socksgw.system.files import FileError
from socksgw.system.keptsecret import KeptSecret
from socksgw.system.threads import threadsFor

__all__ = ["KeytabAccount"]

T = TypeVar("T")

#: Names that no account before had, whose tickets may still be there.
_accounts: Final = count()
_ENCRYPTING: Final = "confidentiality"
_END_POINT: Final = b"tls-server-end-point:"
#: Messages of one login at most.
_ROUNDS: Final = 10
#: The security layer that is chosen: none, since TLS is one (RFC 4752 section
#: 3.1: the bit of the layer, and the size of the receive buffer).
_NO_LAYER: Final = b"\x01\x00\x00\x00"
#: strongerAuthRequired (RFC 4511 section 4.1.9). Samba's default answers so inside
#: TLS, too.
_STRONGER: Final = 8
_SIGNING: Final = (
    "Kerberos: the server takes a keytab only when messages are protected by Kerberos "
    'itself, and not by TLS; say bind_protection = "confidentiality"'
)
_UNPROTECTED: Final = (
    "Kerberos: the server offers no such protection of messages; say "
    'bind_protection = "tls"'
)
#: Octets of the longest buffer that we send, where the server takes longer ones.
_SENDS: Final = 1 << 16


@final
class KeytabAccount:
    """
    Log connections in. A question to a KDC may block, and has threads of its own.
    """

    def __init__(
        self, reactor: Any, keytab: Path, principal: str, protection: str = ""
    ) -> None:
        """
        Read the keytab.

        @param principal: whose key is taken; empty for the keytab's first.
        @param protection: of the messages: C{integrity} or C{confidentiality}; empty
            where TLS does that.
        @raise OSError: the keytab cannot be read.
        @raise FileError: others can read it.
        """
        self._keytab = KeptSecret.of(keytab)
        self._threads = threadsFor(reactor, "ldap-kerberos", 2, 62, busy)
        # Tickets stay in this process, and with this account.
        cache = f"MEMORY:socksgw-{next(_accounts)}"
        self._store: dict[bytes | str, bytes | str] = {
            "client_keytab": f"FILE:{keytab}",
            "ccache": cache,
        }
        self._principal = principal
        self._protection = protection

    async def bind(self, link: Link) -> None:
        """
        Become the account.

        @raise Refused: others can read the keytab by now.
        @raise NotServed: Kerberos says no, or wants what is not here.
        @raise ResultError: the directory says no.
        """
        try:
            self._keytab.check()
        except FileError as e:
            raise Refused("store-unreadable", str(e)) from None
        context = await self._do(partial(self._context, link.host, link.peer))
        said: bytes | None = None
        for _ in range(_ROUNDS):
            token = await self._do(partial(context.step, said))
            said = await link.sasl("GSSAPI", token or b"")
            if context.complete:
                break
        else:
            raise NotServed("Kerberos: too many rounds")
        await self._choose(link, context, said)

    async def _choose(self, link: Link, context: Any, said: bytes) -> None:
        """
        Agree on a layer of SASL's, or on none (RFC 4752 section 3.1).
        """
        offer = (await self._do(partial(context.unwrap, said))).message
        bit, wanted = _NO_LAYER[0], _NO_LAYER
        if self._protection:
            bit = LAYERS[self._protection]
            wanted = bytes((bit,)) + (RECEIVES - 1).to_bytes(3)
        if len(offer) != 4 or not offer[0] & bit:
            raise NotServed(_UNPROTECTED if self._protection else _SIGNING)
        choice = (await self._do(partial(context.wrap, wanted, False))).message
        try:
            await link.sasl("GSSAPI", choice, last=True)
        except ResultError as e:
            if e.code != _STRONGER:
                raise
            raise NotServed(_SIGNING) from None
        if self._protection:
            most = min(int.from_bytes(offer[1:]), _SENDS)
            link.protect(Layer(context, self._protection == _ENCRYPTING, most))

    def _context(self, host: str, peer: Any) -> Any:
        name = None
        if self._principal:
            name = gssapi.Name(self._principal, gssapi.NameType.kerberos_principal)
        credentials = gssapi.Credentials(name=name, usage="initiate", store=self._store)
        service = gssapi.Name(f"ldap@{host}", gssapi.NameType.hostbased_service)
        flags = gssapi.RequirementFlag
        wanted = flags.mutual_authentication | flags.integrity
        if self._protection:
            wanted |= flags.out_of_sequence_detection
        if self._protection == _ENCRYPTING:
            wanted |= flags.confidentiality
        return gssapi.SecurityContext(
            name=service,
            creds=credentials,
            usage="initiate",
            flags=wanted,
            channel_bindings=None if peer is None else _bindings(peer),
        )

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.do(work)
        except GSSError as e:
            raise NotServed(f"Kerberos: {' '.join(str(e).split())}") from None


def _bindings(peer: Any) -> ChannelBindings:
    """
    Return what ties the login to the TLS around it (RFC 5929 section 4.1).

    Domain controllers may want it; others take no notice.

    @param peer: the certificate that the server has shown.
    """
    certificate = peer.to_cryptography()
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, (MD5, SHA1)):
        algorithm = SHA256()
    digest = Hash(algorithm)
    digest.update(certificate.public_bytes(Encoding.DER))
    return ChannelBindings(application_data=_END_POINT + digest.finalize())
