"""
What a failed check of an upstream means, in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socksgw.errors import SocksError
from socksgw.system.inwords import Words, inWords

__all__ = ["said"]

#: By the word of the journal.
_WORDS: Final[Mapping[str, Words]] = {
    "upstream-timeout": Words(
        "no answer in time, though it accepts connections",
        "does it run, and is it of that kind? check the protocol and the port in url",
    ),
    "upstream-closed": Words(
        "it closes the connection instead of an answer",
        "check the protocol and the port in url; it may want TLS (socks5+tls://, "
        "https://), let in other hosts only, or take no login (ssh -D)",
    ),
    "upstream-protocol": Words(
        "it does not speak that protocol", "check the protocol and the port in url"
    ),
    "loop": Words("it is a listener of this gateway", "correct url"),
}
#: By what is before it in the text of a connection that could not be made.
_UNREACHED: Final[Mapping[str, Words]] = {
    "(refused)": Words(
        "nothing accepts connections there (connection refused)",
        "is it running, and is the port in url right?",
    ),
    "(no-such-host)": Words("its name has no address", "check the name in url"),
    "(lookup-failed)": Words(
        "its name cannot be looked up", "see the answers of the name servers"
    ),
    "(lookup-timeout)": Words(
        "its name cannot be looked up", "see the answers of the name servers"
    ),
    "(network-unreachable)": Words("no route leads there", "check this host's routes"),
    "(host-unreachable)": Words("no route leads there", "check this host's routes"),
    "(forbidden-by-kernel)": Words("this host forbids it", "see its packet filter"),
    "(connect-timeout)": Words(
        "no answer in time", "does it run, and does a packet filter let us reach it?"
    ),
}
_LOGIN: Final = "upstream-login"
#: What is said of logins: a part of the text, what it means, and what helps.
_LOGINS: Final = (
    ("accepts none of", "it takes none of our methods",
     "name the login that it wants: login.method; or let it take ours"),
    ("asks for", "it wants another login than ours", "correct login.method"),
    ("no ticket of Kerberos", "", "check login.service, the keytab, and the KDC"),
    ("client certificate", "", "have it ask for one, or use another login"),
)  # fmt: skip


def said(error: Exception) -> Words:
    """
    Return what the failure of a probe means.

    @param error: as of L{Prober.probe<socksgw.route.upstreams.checks.Prober.probe>}.
    """
    if not isinstance(error, SocksError):
        return inWords(error)
    text = str(error)
    if text.startswith('upstream "'):
        text = text.partition('": ')[2]
    for mark, words in _UNREACHED.items():
        if mark in text:
            return words
    if error.reason == _LOGIN:
        for mark, meaning, remedy in _LOGINS:
            if mark in text:
                return Words(meaning or text, remedy)
        return Words(
            f"it refuses the login: {text}", "correct login: the user, or the secret"
        )
    if error.reason == "upstream-tls":
        if "closed the connection" in text:
            return Words(
                "TLS: it closes the connection instead of an answer",
                "does it speak TLS on this port? check the scheme and the port in url",
            )
        head, _, remedy = text.partition("; ")
        return Words(f"TLS: {head}", remedy or "check ca, server_name and the clock")
    if error.reason in _WORDS:
        return _WORDS[error.reason]
    return Words(text or error.reason)
