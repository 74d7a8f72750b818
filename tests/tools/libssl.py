"""
One side with the TLS of the system's libssl, which can do what Python's modules
cannot: change its keys (a KeyUpdate, RFC 8446 section 4.6.3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
from functools import cache
from pathlib import Path
from typing import Any

_WANT_READ = 2


@cache
def _library() -> Any:
    name = ctypes.util.find_library("ssl")
    assert name is not None, "libssl is needed (Debian's package libssl3)"
    found = ctypes.CDLL(name)
    for each in ("TLS_client_method", "TLS_server_method", "SSL_CTX_new", "SSL_new"):
        getattr(found, each).restype = ctypes.c_void_p
    return found


class Updating:
    """
    The client's side of a connection, or the server's.
    """

    def __init__(
        self, plain: socket.socket, shown: Path | None = None, serves: bool = False
    ) -> None:
        """
        @param plain: non-blocking.
        @param shown: a certificate and its key.
        @param serves: whether it is the server's side.
        """
        self._library = library = _library()
        make = library.TLS_server_method if serves else library.TLS_client_method
        self._shake = library.SSL_accept if serves else library.SSL_connect
        method = ctypes.c_void_p(make())
        self._context = ctypes.c_void_p(library.SSL_CTX_new(method))
        if shown is not None:
            name = ctypes.c_char_p(bytes(shown))
            assert library.SSL_CTX_use_certificate_file(self._context, name, 1) == 1
            assert library.SSL_CTX_use_PrivateKey_file(self._context, name, 1) == 1
        self._ssl = ctypes.c_void_p(library.SSL_new(self._context))
        library.SSL_set_fd(self._ssl, plain.fileno())

    def shake(self) -> bool:
        """Whether the handshake is done."""
        code = self._shake(self._ssl)
        if code != 1:
            error = self._library.SSL_get_error(self._ssl, code)
            assert error == _WANT_READ, error
        return bool(code == 1)

    def send(self, octets: bytes) -> None:
        """One record of application data."""
        assert self._library.SSL_write(self._ssl, octets, len(octets)) == len(octets)

    def update(self) -> None:
        """One record that brings new keys, and no data."""
        assert self._library.SSL_key_update(self._ssl, 0) == 1
        assert self._library.SSL_do_handshake(self._ssl) == 1

    def close(self) -> None:
        """Let go of everything but the socket."""
        self._library.SSL_free(self._ssl)
        self._library.SSL_CTX_free(self._context)
