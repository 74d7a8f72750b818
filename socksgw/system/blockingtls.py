"""
TLS for clients that block, in threads of their own.
"""

from __future__ import annotations

import os
import ssl

__all__ = ["clientContext", "whyFailed"]


def clientContext(ca: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """
    Return what a client's TLS uses; the name of the server is always verified.

    @param ca: certificates in PEM that are trusted; empty for those of the system.
    @param certificate: our chain in PEM; empty for none.
    @param key: its key.
    @raise ValueError: they cannot be used; the text says which.
    """
    if ca:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=ca.decode("ascii"))
        except (ValueError, ssl.SSLError):
            raise ValueError("ca: has no certificates in PEM") from None
    else:
        context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        # OpenSSL reads files alone; the key was read with rights that are gone.
        fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(fd, certificate + b"\n" + key)
            # A key with a passphrase is not asked for.
            context.load_cert_chain(f"/proc/self/fd/{fd}", password=lambda: b"")
        except (OSError, ssl.SSLError):
            raise ValueError(
                "certificate: does not go with its key, or is no PEM"
            ) from None
        finally:
            os.close(fd)
    return context


def whyFailed(error: OSError) -> str:
    """Return why a connection failed, in a few words; they show no secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error)
