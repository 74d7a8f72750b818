"""
The Kerberos mechanism of GSSAPI.

It uses MIT's or Heimdal's library, and the package C{gssapi}.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import gssapi
from gssapi import raw
from gssapi.raw.misc import GSSError

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.system.certificateprobe import ofKeytab
from socksgw.system.files import FileError, readSecret, unreadable
from socksgw.system.gssapicontext import SealingContext
from socksgw.system.gssapierrors import gssapiWords
from socksgw.system.keptsecret import KeptSecret
from socksgw.system.threads import SharedThreads, threadsFor

__all__ = ["Kerberos", "KerberosContext"]

#: Contexts that are worked on at a time, and those that may wait. The library
#: reads the keytab, and writes its replay cache to the disk.
_THREADS: Final = 4
_WAITING: Final = 256
#: SPNEGO (RFC 4178), by which HTTP's clients choose their mechanism.
_SPNEGO: Final = raw.OID.from_int_seq("1.3.6.1.5.5.2")
#: GSS_C_INDEFINITE.
_INDEFINITE: Final = 0xFFFFFFFF


def _busy() -> AuthenticationFailed:
    return AuthenticationFailed(
        "too many logins at a time", reason="busy", counts=False
    )


@final
class KerberosContext(SealingContext):
    """
    As L{socksgw.plugins.auth_gssapi.Context}.
    """

    def __init__(self, credentials: Any, threads: SharedThreads) -> None:
        self.complete = False
        self.name = b""
        self.realm = ""
        self.expires: float | None = None
        self.confidential = False
        self._credentials = credentials
        self._threads = threads

    async def step(self, token: bytes) -> bytes:
        """As L{socksgw.plugins.auth_gssapi.Context.step}."""
        return await self._threads.do(lambda: self._step(token))

    def _step(self, token: bytes) -> bytes:
        try:
            found = raw.accept_sec_context(token, self._credentials, self._context)
            self._context = found.context
            if not found.more_steps:
                self._established(found)
        except GSSError as e:
            raise AuthenticationFailed(gssapiWords(e), reason="bad-token") from None
        return found.token or b""

    def _established(self, found: Any) -> None:
        """
        @raise AuthenticationFailed: the context proves no identity.
        """
        flags = found.flags
        whole, kind = raw.display_name(found.initiator_name, name_type=True)
        name, _, realm = whole.rpartition(b"@")
        if (
            gssapi.RequirementFlag.anonymity in flags
            or kind == gssapi.NameType.anonymous
            or name.startswith(b"WELLKNOWN/")
        ):
            # RFC 8062: a ticket for nobody in particular.
            raise AuthenticationFailed("an anonymous ticket", reason="anonymous")
        if gssapi.RequirementFlag.integrity not in flags:
            raise AuthenticationFailed(
                "the context protects nothing", reason="protection"
            )
        self.name, self.realm = name, realm.decode("utf-8", "backslashreplace")
        self.confidential = gssapi.RequirementFlag.confidentiality in flags
        if found.lifetime != _INDEFINITE:
            self.expires = time.time() + found.lifetime
        self.complete = True


@final
class Kerberos:
    """
    Accept tickets for every principal in a keytab.

    As L{socksgw.plugins.auth_gssapi.Mechanism}. The library reads the keytab anew for
    each client, so new keys need no reload. While others can read it, every login is
    refused.
    """

    def __init__(self, keytab: Path, reactor: Any) -> None:
        """
        @raise ValueError: the keytab cannot be used.
        """
        self._path = keytab
        self._keytab = _kept(keytab)
        self._threads = threadsFor(reactor, "gssapi", _THREADS, _WAITING, _busy)
        try:
            # Kerberos alone: what else the library has (IAKERB) would talk to
            # other hosts at a stranger's wish.
            self._credentials = _acquired(keytab, gssapi.MechType.kerberos)
            # Some clients of HTTP send Kerberos' tokens without SPNEGO.
            self._negotiating = _acquired(keytab, gssapi.MechType.kerberos, _SPNEGO)
            raw.set_neg_mechs(self._negotiating, [gssapi.MechType.kerberos])
        except GSSError as e:
            raise ValueError(f"{keytab}: {gssapiWords(e)}") from None

    def accept(self, negotiated: bool = False) -> KerberosContext:
        """
        Return the context of a client that begins.

        @param negotiated: whether it may choose the mechanism by SPNEGO.
        @raise AuthenticationFailed: the keytab cannot be used any more.
        """
        try:
            self._keytab.check()
        except FileError as e:
            raise AuthenticationFailed(
                str(e), reason="store-unreadable", counts=False
            ) from None
        credentials = self._negotiating if negotiated else self._credentials
        return KerberosContext(credentials, self._threads)

    async def probe(self) -> Sequence[Answer]:
        """As L{socksgw.interfaces.IProbed.probe}: the keytab alone is looked at."""
        try:
            octets = await self._threads.do(partial(readSecret, self._path))
        except (OSError, FileError) as e:
            raise ProbeFailed(str(e)) from None
        return [
            Answer(str(self._path), said, state, remedy)
            for said, state, remedy in ofKeytab(octets)
        ]

    def problems(self) -> Sequence[str]:
        """As L{socksgw.interfaces.IReportingStore.problems}."""
        return [line for line in [self._keytab.problem()] if line]


def _acquired(keytab: Path, *mechanisms: Any) -> Any:
    """
    Return the credentials of a service.

    @raise GSSError: the keytab has none.
    """
    store: dict[bytes | str, bytes | str] = {b"keytab": b"FILE:" + os.fsencode(keytab)}
    return raw.acquire_cred_from(store, mechs=mechanisms, usage="accept").creds


def _kept(keytab: Path) -> KeptSecret:
    """
    @raise ValueError: the file cannot be read, or others can read it.
    """
    try:
        return KeptSecret.of(keytab)
    except PermissionError as e:
        raise ValueError(unreadable(keytab, e)) from None
    except OSError as e:
        raise ValueError(
            f"{keytab}: {e.strerror}; make it with kadmin's ktadd"
        ) from None
    except FileError as e:
        raise ValueError(str(e)) from None
