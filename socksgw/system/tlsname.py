"""
The name that a TLS peer has to prove.

OpenSSL verifies the chain, service-identity the name. The name is checked during the
handshake and once more when the handshake is complete. If a check fails for any
reason, the peer is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, final

from cryptography import x509
from OpenSSL import SSL
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    ServiceID,
    verify_service_identity,
)

__all__ = ["Handshake", "PeerName", "PeerRefused"]

#: Names of a certificate in a message, and characters of each, at most.
_NAMES: Final = 4
_LONGEST: Final = 64
_ISSUER: Final = 'no trusted authority has issued it; name its issuer\'s file as "ca"'
#: X509_V_ERR_* of OpenSSL (openssl-verification-options(1)).
_CHAIN: Final = {
    9: "it is not valid yet; compare the clocks",
    10: "it has expired",
    18: f"it is self-signed, and {_ISSUER}",
    19: _ISSUER,
    20: _ISSUER,
    21: _ISSUER,
    23: "it is revoked",
    26: "it is not for servers (extendedKeyUsage lacks serverAuth)",
}


class PeerRefused(Exception):
    """
    The peer has not proved that it has the configured name.

    The text says why, and what to do.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"its certificate is refused: {why}")


_VERIFIED: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


@final
class Handshake:
    """
    What is found out in a handshake.

    @ivar refusal: why the peer is refused; empty where it is not.
    @ivar shown: whether it has asked for our certificate, and has seen it.
    """

    __slots__ = ("refusal", "shown")

    def __init__(self) -> None:
        self.refusal = ""
        self.shown = False


@final
class PeerName:
    """
    The name of a peer, as the configuration has it.

    The peer has to show a certificate for it that a trusted authority has issued.
    """

    __slots__ = ("_host", "_id", "_serverName")

    def __init__(self, host: str) -> None:
        """
        Take the name.

        @param host: a DNS name or an IP address.
        @raise ValueError: it is neither.
        """
        self._host = host
        self._id: ServiceID
        self._serverName = b""
        try:
            try:
                self._id = IPAddress_ID(str(ip_address(host)))
            except ValueError:
                name = DNS_ID(host)
                self._id, self._serverName = name, name.hostname
        except Exception:
            # idna raises kinds of its own.
            raise ValueError(f'"{host}" is neither a DNS name nor an address') from None

    def connection(
        self, context: SSL.Context, refuse: Callable[[PeerRefused], object]
    ) -> SSL.Connection:
        """
        Return a connection, on octets in memory, that the peer is verified on.

        @param context: with the authorities that are believed.
        @param refuse: called when the peer is refused, with the reason; the handshake
            fails then.
        """
        connection = self.named(context)

        def verified(_: Any, shown: Any, error: int, depth: int, ok: int) -> bool:
            why = self._verdict(shown, error, depth, ok)
            if why:
                refuse(PeerRefused(why))
            return not why

        connection.set_verify(_VERIFIED, verified)
        return connection

    def demand(self, context: SSL.Context) -> None:
        """
        Have the peer verified on every connection of a context.

        Its connections come from L{named}, and their app data is a L{Handshake}. A
        function of each connection's own would stay until the garbage collector runs.
        """

        def verified(
            connection: Any, shown: Any, error: int, depth: int, ok: int
        ) -> bool:
            why = self._verdict(shown, error, depth, ok)
            if why:
                connection.get_app_data().refusal = why
            return not why

        context.set_verify(_VERIFIED, verified)

    def named(self, context: SSL.Context) -> SSL.Connection:
        """Return a connection, on octets in memory, that asks for the name."""
        connection = SSL.Connection(context, None)
        if self._serverName:
            # RFC 6066 section 3: addresses are not permitted there.
            connection.set_tlsext_host_name(self._serverName)
        return connection

    def _verdict(self, shown: Any, error: int, depth: int, ok: int) -> str:
        """Return what is wrong with one certificate of the chain; empty for nothing."""
        if not ok:
            return _CHAIN.get(error, f"OpenSSL's verification error {error}")
        return self._objection(shown.to_cryptography()) if depth == 0 else ""

    def confirm(self, connection: Any) -> None:
        """
        Check the name once more.

        This is called when the handshake is complete, before anything is written.

        @raise PeerRefused: the certificate is not for this name.
        """
        try:
            shown = connection.get_peer_certificate(as_cryptography=True)
        except Exception:
            shown = None
        why = self._objection(shown)
        if why:
            raise PeerRefused(why)

    def _objection(self, shown: x509.Certificate | None) -> str:
        """
        Return what is wrong with the names of a certificate.

        @return: empty when one of them is the configured one.
        """
        if shown is None:
            return "none was shown"
        kind = "IP" if not self._serverName else "DNS"
        remedy = f'issue one with the subjectAltName "{kind}:{self._host}"'
        try:
            patterns = list(filter(_counts, extract_patterns(shown)))
            if not patterns:
                return (
                    "it has no DNS name and no IP address in a subjectAltName, and "
                    f"the common name does not count; {remedy}"
                )
            if verify_service_identity(patterns, [self._id], []):
                return ""
        except Exception:
            # The libraries raise several kinds, also for what is no mismatch.
            patterns = _readable(shown)
        if not patterns:
            return f"its names cannot be read; {remedy}"
        names = ", ".join(map(_shown, patterns[:_NAMES]))
        return (
            f"it is for {names}, and not for {self._host}; {remedy}, or configure a "
            "name that it has"
        )


def _counts(pattern: CertificatePattern) -> bool:
    """Whether a name is of a kind that a host can have."""
    return isinstance(pattern, (DNSPattern, IPAddressPattern))


def _readable(shown: x509.Certificate) -> list[CertificatePattern]:
    """
    Return the names of a certificate for a message; none if they cannot be read.
    """
    try:
        return list(extract_patterns(shown))
    except Exception:
        return []


def _shown(pattern: Any) -> str:
    name = getattr(pattern, "pattern", None)
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    return ascii(text[:_LONGEST])[1:-1]
