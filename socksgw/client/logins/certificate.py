"""
A client certificate: the login is in the handshake of TLS.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.client.logins.login import Login, LoginExchange
from socksgw.wire.codes import Method
from socksgw.wire.protection import Protection

__all__ = ["CERTIFICATE_LOGIN", "CertificateLogin"]


@final
class CertificateLogin(Login):
    """
    The proxy knows the client by its certificate, and wants no other login.

    Whoever shakes hands sees to it that the proxy has asked for the certificate
    (L{socksgw.system.tlsover.TLSOver.shown}).
    """

    methods = bytes((Method.NO_AUTHENTICATION,))
    called = "client certificate"

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5}: there is nothing more to say."""
        return None


CERTIFICATE_LOGIN: Final = CertificateLogin()
