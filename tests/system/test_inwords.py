"""
Failures of connections, in words.
"""

from __future__ import annotations

import errno
import socket

import pytest
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import CancelledError

from socksgw.system.inwords import inWords
from socksgw.system.tlsname import PeerRefused


@pytest.mark.parametrize(
    ("failure", "said", "remedy"),
    [
        (TimeoutError(), "no answer in time", "does it run"),
        (error.TimeoutError(), "no answer in time", "does it run"),
        (CancelledError(), "no answer in time", "does it run"),
        (error.DNSLookupError(), "its name has no address", "name servers"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "its name has no", "name servers"),
        (error.ConnectionRefusedError(), "connection refused", "the port"),
        (OSError(errno.ECONNREFUSED, "x"), "connection refused", "the port"),
        (error.ConnectError(errno.EHOSTUNREACH), "no route leads there", "routes"),
        (error.ConnectionLost(), "it closes the connection", "port"),
        (PeerRefused("it is for a; issue one"), "TLS: its certificate is refused: it is "
         "for a", "issue one"),
        (SSL.Error([("x", "y", "wrong version number")]), "speaks no TLS", "port"),
        (SSL.Error([("x", "y", "tlsv1 alert unknown ca")]), "our certificate", "log"),
        (SSL.Error(), "TLS: it closes the connection", "log"),
        (ValueError("what was  said; what\nto do"), "what was said", "what to do"),
        (ValueError(), "ValueError", ""),
    ],
)  # fmt: skip
def test_words(failure: Exception, said: str, remedy: str) -> None:
    """Each has words, and most a remedy."""
    words = inWords(failure)
    assert said in words.said
    assert remedy in words.remedy
