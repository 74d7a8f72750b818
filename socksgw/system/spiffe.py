"""
The identity of a workload: SPIFFE's, in a certificate or a token.

What its standards SPIFFE-ID, X509-SVID and JWT-SVID want of one is checked here, beyond
what OpenSSL verifies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509

__all__ = ["LONGEST", "isSPIFFE", "wrongId", "wrongSVID"]

#: Octets of an identity (SPIFFE-ID section 2.3), and of a trust domain.
LONGEST: Final = 2048
_DOMAIN: Final = 255
#: SPIFFE-ID sections 2.1 and 2.2: no port, no user, no query, no fragment, and nothing
#: that is escaped.
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]+)((?:/[A-Za-z0-9._-]+)*)\Z", re.ASCII)
_DOTS: Final = frozenset({".", ".."})


def isSPIFFE(uri: str) -> bool:
    """Tell whether a URI means to be the identity of a workload."""
    return uri[:7].lower() == "spiffe:"


def wrongId(uri: str) -> str:
    """Return what is wrong with the identity of a workload; empty for nothing."""
    found = _ID.match(uri)
    if found is None or len(found[1]) > _DOMAIN:
        return "its SPIFFE ID is malformed"
    if len(uri) > LONGEST:
        return "its SPIFFE ID is too long"
    if not _DOTS.isdisjoint(found[2].split("/")):
        return "its SPIFFE ID has a . or .. in its path"
    if not found[2]:
        # That is the trust domain itself (X509-SVID section 3.1).
        return "its SPIFFE ID has no path, so that it is no workload's"
    return ""


def wrongSVID(certificate: x509.Certificate, uris: Sequence[str]) -> str:
    """
    Return what is wrong with the certificate of a workload; empty for nothing.

    @param uris: all URIs among its names: exactly one is allowed (X509-SVID section 2).
    """
    if len(uris) != 1:
        return "it has a SPIFFE ID and another URI"
    wrong = wrongId(uris[0])
    if wrong:
        return wrong
    # An authority may sign for others, and is nobody by itself (X509-SVID section
    # 5.2).
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "it is an authority's, and no workload's"
    except x509.ExtensionNotFound:
        pass
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    if usage.key_cert_sign or usage.crl_sign:
        return "its key may sign certificates, so that it is no workload's"
    return ""
