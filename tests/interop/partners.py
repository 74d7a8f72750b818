"""
A gateway with TLS listeners, the authority of its clients, and who they are.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate

from tests.live import raw
from tests.live.running import LOOPBACK, Running, running
from tests.tools.certificates import Authority, Issued, email, pemOf, pemOfKey, server

#: As the gateway calls the client.
BOB = "partner/bob@partner.example"
NAME = email("bob@partner.example")
#: Another one, whose datagrams have to be protected.
STRICT = email("strict@partner.example")

#: Listeners in this order; and who is asked for what.
CONFIGURATION = (
    """
[timeouts]
handshake = "3s"
[[listen]]
name = "partners"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[listen.udp]
tunnels = ["hev"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "required"
crl = "crl.pem"
prefix = "partner/"
[[listen]]
name = "either"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "optional"
prefix = "partner/"
[[listen]]
name = "anybody"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "unnamed"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "required"
[[auth.choose]]
listener = ["partners", "unnamed"]
methods = ["certificate"]
[[auth.choose]]
listener = ["either"]
methods = ["certificate", "none"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
[[rule]]
id = "partners"
allow = ["connect", "bind", "udp"]
who = ["partner/bob@partner.example", "partner/host.partner.example"]
method = ["certificate"]
secured = "confidentiality"
[[rule]]
id = "strict"
allow = ["udp"]
who = ["partner/strict@partner.example"]
secured = "confidentiality"
[[rule]]
id = "beside"
allow = ["udp"]
who = ["partner/bob@partner.example"]
secured = "clear"
[[rule]]
id = "others"
allow = ["connect"]
who = ["anonymous"]
"""
    + LOOPBACK
)


class House:
    """
    A gateway, and the authority that it believes.

    @ivar directory: where its files are.
    @ivar root: the authority of servers and clients.
    @ivar below: one below it.
    @ivar gateway: it runs.
    """

    gateway: Running

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.root = Authority()
        self.below = Authority("Below", self.root)
        self.put("ca.pem", pemOf(self.root.certificate))
        self.show(server(self.root))
        self.revoke()

    def put(self, name: str, octets: bytes) -> None:
        """Replace a file by another."""
        new = self.directory / "new"
        new.touch(0o600)
        new.write_bytes(octets)
        os.replace(new, self.directory / name)

    def show(self, own: Issued) -> None:
        """The gateway's certificate from now on."""
        self.put("gw.pem", pemOf(*own.chain))
        self.put("gw.key", pemOfKey(own.key))

    def revoke(self, *certificates: Certificate, **options: Any) -> None:
        """A CRL of each authority; C{certificates} are on both."""
        octets = self.root.revoke(*certificates, **options)
        self.put("crl.pem", octets + self.below.revoke(*certificates, **options))

    @property
    def partners(self) -> int:
        """The port that wants a certificate."""
        return self.gateway.ports[0]

    def dial(self, issued: Issued | None, listener: int = 0) -> ssl.SSLSocket:
        """A client after its side of the handshake."""
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        if issued is not None:
            context.load_cert_chain(*issued.write(self.directory, "client"))
        plain = raw.dial(self.gateway.ports[listener])
        try:
            return context.wrap_socket(
                plain, server_hostname="localhost", suppress_ragged_eofs=False
            )
        except BaseException:
            plain.close()
            raise


def housed(
    directory: Path, configuration: str = CONFIGURATION, **options: Any
) -> Iterator[House]:
    """A gateway that runs; for C{yield from}."""
    house = House(directory)
    for gateway in running(directory, configuration, **options):
        house.gateway = gateway
        yield house
