"""
What helps a client of which no method is acceptable, told by what it offers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from socksgw.wire.codes import Method

__all__ = ["remedy"]

_HELP: Final = ": socksgw help clients"
#: Of a login by user and password, or by a challenge.
_WITH_PASSWORD: Final = (Method.USERNAME_PASSWORD, Method.CHAP)

#: Nothing in such an offer tells which program it is.
_NO_LOGIN: Final = (
    "the client has no user and password in its settings (torsocks: SOCKS5Username and "
    "SOCKS5Password in torsocks.conf; WeeChat: at the end of /proxy add; others: in the "
    "proxy's URL), or cannot log in by SOCKS, as nc, msmtp, Firefox and Chromium cannot"
)
#: libcurl with GSSAPI offers it to every proxy.
_LIBCURL: Final = (
    "programs on libcurl (curl, git, PHP) offer these where the proxy's URL has no "
    "user and password"
)
_INSISTS: Final = (
    "the client insists on a login, and none is taken here: take user and password out "
    "of its settings"
)
_NO_TICKET: Final = (
    "few programs log in to SOCKS by Kerberos, such as curl --socks5-gssapi; let the "
    "others come by socksgw agent"
)


def remedy(offered: bytes, wanted: Collection[int]) -> str:
    """
    Return what helps, with its cause; empty where nothing is known.

    Many programs offer user and password only if these are in their settings.

    @param offered: the client's methods (RFC 1928 section 3).
    @param wanted: the methods that are acceptable; none of them is offered.
    """
    found = ""
    if any(method in wanted for method in _WITH_PASSWORD):
        if set(offered) == {Method.NO_AUTHENTICATION, Method.GSSAPI}:
            found = _LIBCURL
        elif Method.NO_AUTHENTICATION in offered:
            found = _NO_LOGIN
    elif Method.GSSAPI in wanted:
        found = _NO_TICKET
    elif Method.NO_AUTHENTICATION in wanted and Method.USERNAME_PASSWORD in offered:
        found = _INSISTS
    return found and found + _HELP
