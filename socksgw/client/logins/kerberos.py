"""
Tickets of Kerberos for proxies.

It uses MIT's or Heimdal's library, and the package C{gssapi}. The library may talk to a
KDC and reads files, so that is done in threads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, final

import gssapi
from gssapi import raw
from gssapi.raw.misc import GSSError

from socksgw.client.errors import LoginRefused, TooManyLogins
from socksgw.system.files import FileError
from socksgw.system.gssapicontext import SealingContext
from socksgw.system.gssapierrors import gssapiWords
from socksgw.system.keptsecret import KeptSecret
from socksgw.system.threads import SharedThreads, threadsFor

__all__ = ["Kerberos", "KerberosInitiator"]

#: Contexts that are worked on at a time, and those that may wait.
_THREADS: Final = 4
_WAITING: Final = 256
#: SPNEGO (RFC 4178).
_SPNEGO: Final = raw.OID.from_int_seq("1.3.6.1.5.5.2")
#: What is asked of a context (RFC 1961 section 3.2). Our credentials are never handed
#: on (GSS_C_DELEG_FLAG): the proxy could act as us.
_FLAGS: Final = (
    gssapi.RequirementFlag.mutual_authentication,
    gssapi.RequirementFlag.replay_detection,
    gssapi.RequirementFlag.integrity,
    gssapi.RequirementFlag.confidentiality,
)
#: Besides, of what protects a stream alone.
_IN_ORDER: Final = gssapi.RequirementFlag.out_of_sequence_detection


def _busy() -> TooManyLogins:
    return TooManyLogins("too many logins to upstreams at a time")


@final
class KerberosInitiator(SealingContext):
    """As L{socksgw.client.logins.initiator.InitiatorContext}."""

    def __init__(
        self, kerberos: Kerberos, service: str, negotiated: bool, datagrams: bool
    ) -> None:
        self.complete = False
        self.confidential = False
        self._kerberos = kerberos
        self._service = service
        self._mechanism = _SPNEGO if negotiated else gssapi.MechType.kerberos
        self._flags = _FLAGS if datagrams else (*_FLAGS, _IN_ORDER)
        self._credentials: Any = None
        self._name: Any = None

    async def step(self, token: bytes) -> bytes:
        """As L{InitiatorContext.step}."""
        return await self._kerberos.threads.do(lambda: self._step(token))

    def conclude(self, token: bytes) -> None:
        """As L{InitiatorContext.conclude}: it reads no file, and asks no KDC."""
        if self._step(token):
            raise LoginRefused("the proxy has not proved its name")

    def _step(self, token: bytes) -> bytes:
        try:
            if self._context is None:
                self._credentials = self._kerberos.acquire(self._mechanism)
                self._name = raw.import_name(
                    self._service.encode(), gssapi.NameType.hostbased_service
                )
            found = raw.init_sec_context(
                self._name,
                self._credentials,
                self._context,
                self._mechanism,
                self._flags,
                input_token=token or None,
            )
        except GSSError as e:
            raise LoginRefused(
                f"no ticket of Kerberos for {self._service}: {gssapiWords(e)}"
            ) from None
        self._context = found.context
        if not found.more_steps:
            self._established(found.flags)
        return found.token or b""

    def _established(self, flags: Any) -> None:
        """
        @raise LoginRefused: the context does not do what it has to.
        """
        if gssapi.RequirementFlag.mutual_authentication not in flags:
            raise LoginRefused("the proxy has not proved its name")
        if gssapi.RequirementFlag.integrity not in flags:
            raise LoginRefused("the context protects nothing")
        self.confidential = gssapi.RequirementFlag.confidentiality in flags
        self.complete = True


@final
class Kerberos:
    """
    The tickets of one principal (L{socksgw.client.logins.initiator.Initiator}).

    They are looked up for each connection, so that new ones are used at once.

    @ivar threads: where the library is called.
    """

    def __init__(
        self,
        reactor: Any,
        user: str = "",
        keytab: Path | None = None,
        cache: str = "",
    ) -> None:
        """
        Take what tickets come from.

        @param user: the principal; empty for that of the cache, or the keytab's first.
        @param keytab: the principal's keys: tickets are got by these when they are
            needed.
        @param cache: the credential cache, as C{KRB5CCNAME} has it; empty for the
            usual one, or with a keytab one in memory.
        @raise FileError: the keytab cannot be read, or others can read it.
        @raise OSError: likewise.
        """
        self._user = user
        self._keytab = None if keytab is None else KeptSecret.of(keytab)
        self._store: dict[bytes | str, bytes | str] = {}
        if keytab is not None:
            self._store[b"client_keytab"] = b"FILE:" + os.fsencode(keytab)
            cache = cache or f"MEMORY:socksgw-{user}-{keytab}"
        if cache:
            self._store[b"ccache"] = cache.encode()
        self.threads: SharedThreads = threadsFor(
            reactor, "kerberos", _THREADS, _WAITING, _busy
        )

    def begin(
        self, service: str, negotiated: bool = False, datagrams: bool = False
    ) -> KerberosInitiator:
        """As L{Initiator.begin<socksgw.client.logins.initiator.Initiator.begin>}."""
        return KerberosInitiator(self, service, negotiated, datagrams)

    def acquire(self, mechanism: Any) -> Any:
        """
        Return the credentials of now.

        @raise GSSError: there are none.
        @raise LoginRefused: the keytab cannot be used any more.
        """
        if self._keytab is not None:
            try:
                self._keytab.check()
            except FileError as e:
                raise LoginRefused(str(e)) from None
        name = None
        if self._user:
            name = raw.import_name(self._user.encode(), gssapi.NameType.user)
        mechanisms = [mechanism]
        if mechanism == _SPNEGO:
            mechanisms.append(gssapi.MechType.kerberos)
        if not self._store:
            found = raw.acquire_cred(name, mechs=mechanisms, usage="initiate").creds
        else:
            found = raw.acquire_cred_from(
                self._store, name, mechs=mechanisms, usage="initiate"
            ).creds
        if mechanism == _SPNEGO:
            # Nothing else that the library has: NTLM would be guessed, IAKERB would
            # have a proxy talk to the KDC.
            raw.set_neg_mechs(found, [gssapi.MechType.kerberos])
        return found
