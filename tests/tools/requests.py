"""
Requests of HTTP that are none, or that others could read in another way.
"""

from __future__ import annotations

__all__ = ["BROKEN", "CONNECT", "HOST"]

HOST = b"Host: example.com:443\r\n"
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\n"
#: Each with the status of the answer; an empty line follows. RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1, 6.3; RFC 9110 sections 5.5, 7.2, 9.3.6.
BROKEN: dict[str, tuple[bytes, int]] = {
    "no port": (b"CONNECT example.com HTTP/1.1\r\n" + HOST, 400),
    "empty port": (b"CONNECT example.com: HTTP/1.1\r\n" + HOST, 400),
    "no host": (b"CONNECT :443 HTTP/1.1\r\nHost: a\r\n", 400),
    "port too large": (b"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n", 400),
    "port of six digits": (b"CONNECT a:000443 HTTP/1.1\r\nHost: a\r\n", 400),
    "port with a sign": (b"CONNECT a:+443 HTTP/1.1\r\nHost: a\r\n", 400),
    "IPv6 without brackets": (b"CONNECT ::1:443 HTTP/1.1\r\nHost: a\r\n", 400),
    "IPv4 in brackets": (b"CONNECT [127.0.0.1]:1 HTTP/1.1\r\nHost: a\r\n", 400),
    "two ports": (b"CONNECT a:1:2 HTTP/1.1\r\nHost: a\r\n", 400),
    "long host": (b"CONNECT " + b"a" * 256 + b":1 HTTP/1.1\r\nHost: a\r\n", 400),
    "absolute": (b"CONNECT http://example.com:443/ HTTP/1.1\r\n" + HOST, 400),
    "path": (b"CONNECT / HTTP/1.1\r\n" + HOST, 400),
    "asterisk": (b"CONNECT * HTTP/1.1\r\n" + HOST, 400),
    "another Host": (CONNECT + b"Host: evil.example:443\r\n", 400),
    "another port in Host": (CONNECT + b"Host: example.com:444\r\n", 400),
    "two Hosts": (CONNECT + HOST + HOST, 400),
    "no Host": (CONNECT, 400),
    "space before the colon": (CONNECT + b"Host : example.com:443\r\n", 400),
    "space before the name": (CONNECT + HOST + b" X: y\r\n", 400),
    "folded": (CONNECT + HOST + b"X: y\r\n z\r\n", 400),
    "folded by a tab": (CONNECT + HOST + b"X: y\r\n\tz\r\n", 400),
    "NUL": (CONNECT + HOST + b"X: y\0z\r\n", 400),
    "NUL in the target": (b"CONNECT a\0b:1 HTTP/1.1\r\n" + HOST, 400),
    "CR alone": (CONNECT + HOST + b"X: y\rz: t\r\n", 400),
    "LF alone": (CONNECT + HOST + b"X: y\nZ: t\r\n", 400),
    "LF behind the request": (CONNECT.replace(b"\r", b"") + HOST, 400),
    "no colon": (CONNECT + HOST + b"X\r\n", 400),
    "empty name": (CONNECT + HOST + b": y\r\n", 400),
    "name that is no token": (CONNECT + HOST + b"X(y): z\r\n", 400),
    "name with a space": (CONNECT + HOST + b"X Y: z\r\n", 400),
    "name with a NUL": (CONNECT + HOST + b"X\0Y: z\r\n", 400),
    "name with a control octet": (CONNECT + HOST + b"X\x01Y: z\r\n", 400),
    "name beyond ASCII": (CONNECT + HOST + b"X\xff: z\r\n", 400),
    "length": (CONNECT + HOST + b"Content-Length: 5\r\n", 400),
    "two lengths": (
        CONNECT + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n",
        400,
    ),
    "length twice": (CONNECT + HOST + b"Content-Length: 5\r\n" * 2, 400),
    "list of lengths": (CONNECT + HOST + b"Content-Length: 0, 5\r\n", 400),
    "length with a sign": (CONNECT + HOST + b"Content-Length: +0\r\n", 400),
    "length of 21 digits": (
        CONNECT + HOST + b"Content-Length: %b\r\n" % (b"1" * 21),
        400,
    ),
    "length in hexadecimal": (CONNECT + HOST + b"Content-Length: 0x0\r\n", 400),
    "chunks": (CONNECT + HOST + b"Transfer-Encoding: chunked\r\n", 400),
    "unknown coding": (CONNECT + HOST + b"Transfer-Encoding: gzip\r\n", 501),
    "chunks last but one": (
        CONNECT + HOST + b"Transfer-Encoding: chunked, identity\r\n",
        501,
    ),
    "vertical tab before chunks": (
        CONNECT + HOST + b"Transfer-Encoding: \x0bchunked\r\n",
        400,
    ),
    "length beside chunks": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n",
        400,
    ),
    "chunks in 1.0": (
        b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "credentials twice": (
        CONNECT + HOST + b"Proxy-Authorization: Basic YTpi\r\n" * 2,
        400,
    ),
    "DEL in the target": (b"CONNECT a\x7fb:1 HTTP/1.1\r\n" + HOST, 400),
    "target beyond ASCII": (b"CONNECT a\xeeb:1 HTTP/1.1\r\n" + HOST, 400),
    "more behind the version": (b"CONNECT example.com:443 HTTP/1.1 x\r\n" + HOST, 400),
    "no version": (b"CONNECT example.com:443\r\n", 400),
    "two spaces": (b"CONNECT  example.com:443 HTTP/1.1\r\n" + HOST, 400),
    "space in the target": (b"CONNECT exa mple.com:443 HTTP/1.1\r\n" + HOST, 400),
    "tab": (b"CONNECT\texample.com:443 HTTP/1.1\r\n" + HOST, 400),
    "lower case of HTTP": (b"CONNECT example.com:443 http/1.1\r\n" + HOST, 400),
    "version 1.2": (b"CONNECT example.com:443 HTTP/1.2\r\n" + HOST, 505),
    "version 0.9": (b"CONNECT example.com:443 HTTP/0.9\r\n" + HOST, 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 505),
    "many digits": (b"CONNECT example.com:443 HTTP/1.10\r\n" + HOST, 400),
    "no method": (b"CON(ECT example.com:443 HTTP/1.1\r\n" + HOST, 400),
    "PROXY header": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + CONNECT + HOST, 400),
    "many fields": (CONNECT + HOST + b"X: y\r\n" * 101, 431),
}
