"""
The tables about listeners: where clients connect to, TLS, UDP.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.listening import UNIX, isWithin
from socksgw.config.schema.service import ResolverConfig
from socksgw.config.schema.values import Words
from socksgw.system.domains import OWN, Domain

__all__ = [
    "Http",
    "Identity",
    "Listen",
    "ListenMulticast",
    "ListenTLS",
    "ListenUDP",
    "Pac",
]


@frozen
class ListenUDP:
    """
    Sockets for UDP ASSOCIATE and BIND of the C{[[listen]]} above it.

    @ivar ports: The ports that may be used, such as C{"40000-40999"}. Absent: any
        that the kernel gives.
    @ivar ports_per_source: The number of C{ports} that one source may have at a
        time. Absent: half of them.
    @ivar advertise: The address that clients are told, behind address translation.
        Needs C{ports}. Absent: the address of the socket.
    @ivar fragments: C{"reassemble"}: fragments of SOCKS datagrams are put together.
        C{"drop"}: they are dropped.
    @ivar tunnels: Framings of UDP inside the TCP connection that are served:
        C{"hev"} (command C{05}), C{"gost"} (command C{F3}); C{"connect-udp"} of HTTP
        (RFC 9298).
    """

    ports: str = ""
    ports_per_source: int | None = None
    advertise: str = ""
    fragments: Literal["reassemble", "drop"] = "reassemble"
    tunnels: tuple[Literal["hev", "gost", "connect-udp"], ...] = ()


@frozen
class ListenMulticast:
    """
    Multicast groups for the clients of the C{[[listen]]} above it.

    They speak Enhanced UDP Mode of SOCKS 5 (C{socksgw help multicast}).

    @ivar interface: The interface where groups are joined and sent to, such as
        C{"eth1"}. Absent: the listener serves no groups.
    @ivar groups: The most groups of one client's connection.
    @ivar tunnels: Whether datagrams may go inside the TCP connection, too.
    """

    interface: str = ""
    groups: int = 16
    tunnels: bool = True


Identity = Literal["email", "dns", "uri", "upn"]


@frozen
class ListenTLS:
    """
    TLS under SOCKS, on every C{address} of the C{[[listen]]} above it.

    A relative path starts at the directory of this file. The files are read again
    when they change.

    @ivar certificate: The file of the gateway's certificate and its chain, in PEM.
    @ivar key: The file of the private key, which nobody else may read. Absent: the
        key is in the file of the certificate.
    @ivar client_ca: The file of the authorities that sign the clients'
        certificates.
    @ivar client_certificate: Whether clients are asked for a certificate.
        C{"required"}: clients without one are refused. The other two need
        C{client_ca}.
    @ivar crl: The file of revocation lists in PEM, one of each authority in a
        chain. A list that is out of date lets nobody in. Absent: revocation is not
        checked.
    @ivar identity: Kinds of names in C{subjectAltName}; the user is the first name
        of the first kind that the certificate has.
    @ivar prefix: Text that is put before the name, so that no partner's name
        equals one of ours.
    """

    certificate: str
    key: str = ""
    client_ca: str = ""
    client_certificate: Literal["off", "optional", "required"] = "off"
    crl: str = ""
    identity: tuple[Identity, ...] = ("email", "dns")
    prefix: str = ""


@frozen
class Http:
    """
    What clients of HTTP are told.

    @ivar reasons: C{true}: a refusal tells the client the id of the rule and the
        reason. C{false}: a text that is the same for all causes of a status.
    @ivar realm: The name of what clients log in to; browsers show it.
    """

    reasons: bool = False
    realm: str = "socksgw"


@frozen
class Pac:
    """
    A program for browsers that is made of the rules (proxy auto-configuration).

    It sends browsers to the gateway for what some rule allows to somebody, and
    nowhere else. Everybody who reaches C{address} can read it, and so the
    destinations that rules name.

    @ivar address: Where C{/proxy.pac} and C{/wpad.dat} are served over HTTP:
        C{"10.0.0.2:8080"}. Browsers that look for C{wpad} by themselves want port 80.
    @ivar listener: The listener that browsers are sent to. Absent: the only one that
        has C{"http"} among its C{protocols}.
    @ivar host: What browsers call the gateway. Absent: the name by which they have
        asked for the program.
    """

    address: tuple[str, ...]
    listener: str = ""
    host: str = ""


@frozen
class Listen:
    """
    A listener, where clients connect. It has either C{address} or C{endpoint}.

    @ivar name: The name for rules, the journal and the banner.
    @ivar address: Addresses with ports: C{"10.0.0.2:1080"}, C{"[2001:db8::2]:1080"};
        Unix sockets for programs of this machine: C{"unix:/run/socksgw/gw.sock"}, or
        C{"unix:@name"} of an abstract name.
    @ivar endpoint: Any Twisted server endpoint string, such as
        C{"tls:1081:privateKey=gw.pem"}. For Unix sockets use C{address}.
    @ivar mode: The mode of the Unix sockets of C{address} that have a path. Absent:
        C{"660"}.
    @ivar owner: The C{"user:group"} of the same, C{"user"} or C{":group"}. Absent: the
        gateway's own.
    @ivar protocols: What clients may speak, told apart by their first octets.
        C{"socks4"} includes 4a; C{"socks6"} is the draft of a next version
        (C{socksgw help socks6}); C{"http"} is HTTP as to a proxy.
    @ivar stack: What clients of SOCKS 6 may choose of IP and TCP below (C{socksgw help
        socks6}): C{"tos"}, C{"ttl"}, C{"no-fragmentation"}, C{"happy-eyeballs"},
        C{"fast-open"}, C{"multipath"}.
    @ivar fast_open: C{true}: clients may send their request in the first packet (TCP
        Fast Open, RFC 7413), which may come twice, and of which a cookie alone proves
        the source (C{socksgw help socks6}). Goes with addresses that have ports.
    @ivar transparent: How the kernel diverts clients here that know no proxy, so that
        where they were going is their request. C{"redirect"}: a rule changes the
        destination of their connections (SO_ORIGINAL_DST). C{"tproxy"}: a rule leaves
        it as it is; UDP is served, too, and the gateway needs capabilities
        (C{etc/socksgw.service}). Not together with C{endpoint}, C{protocols}, C{tls}
        or C{udp}. Absent: clients speak C{protocols}.
    @ivar device: The interface, or the VRF, that clients come by, and that all they
        ask for leaves by: connections, datagrams, look-ups. So the same address may
        be in several networks. Goes with addresses that have ports.
    @ivar netns: The same for a network namespace (ip-netns(8)). Its broker has to run:
        C{socksgw netns-broker NAME}.
    @ivar leave_by: Addresses of this host that what clients ask for leaves by, such as
        C{["198.51.100.7", "2001:db8:1::7"]}: connections, peers of BIND, datagrams.
        Of several of one family, a user always has the same one. Destinations of a
        family that has none are refused. C{"same"}: the address that the client came
        to; the other family leaves as usual. An address is no choice of network:
        C{device} is. Absent: as the kernel routes it.
    @ivar mark: The mark of the same sockets, for C{ip rule add fwmark}. Needs
        CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17.
    @ivar resolver: Name servers for clients of this listener, asked through its
        C{device} or C{netns}. Absent: those of C{/etc/netns/NAME/}; where there are
        none, requests with names are refused. This host's servers are never asked.
    @ivar half_open: Most clients that have not made their request yet. For one more,
        the oldest of the source that has the most is closed, or the oldest of all
        if no source has a sixteenth.
    @ivar half_open_per_source: The same for one source.
    @ivar identity_keys: Files of public keys in PEM, of gateways that may say who their
        clients are (C{identity_key} of an C{[[upstream]]} there); needs C{tls}. Users
        log in so by the method C{"gateway"}. Absent: no gateway is believed.
    @ivar identity_prefix: Text that is put before the names of these users, so that
        none equals one of ours.
    @ivar proxy_protocol_from: Networks of the load balancers in front. A connection
        from there begins with a PROXY header (version 1 or 2), which names the
        client; one from anywhere else is closed. Absent: no header is read.
    @ivar ipsec_mark: The bit of a packet's mark by which the rules of the firewall tell
        what came by IPsec, such as C{0x1000000}; rules then see
        C{secured = "ipsec"}. C{socksgw client-config ipsec} prints the firewall's
        rules. Needs C{ipsec_ruleset}. Absent: nobody counts as coming by IPsec.
    @ivar ipsec_ruleset: Whether these rules of the firewall are loaded here before the
        gateway starts. The gateway cannot see them, and without them a mark proves
        nothing.
    """

    name: str
    address: tuple[str, ...] = ()
    endpoint: str = ""
    mode: str = ""
    owner: str = ""
    protocols: tuple[Literal["socks5", "socks4", "socks6", "http"], ...] = (
        "socks5",
        "socks4",
    )
    stack: tuple[
        Literal[
            "tos", "ttl", "no-fragmentation", "happy-eyeballs", "fast-open", "multipath"
        ],
        ...,
    ] = ("no-fragmentation", "happy-eyeballs", "fast-open")
    fast_open: bool = False
    transparent: Literal["redirect", "tproxy"] | None = None
    device: str = ""
    netns: str = ""
    leave_by: Words | None = None
    mark: int | None = None
    half_open: int = 4096
    half_open_per_source: int = 2048
    proxy_protocol_from: tuple[str, ...] | None = None
    identity_keys: tuple[str, ...] = ()
    identity_prefix: str = ""
    ipsec_mark: int = 0
    ipsec_ruleset: bool = False
    udp: ListenUDP = ListenUDP()
    multicast: ListenMulticast = ListenMulticast()
    tls: ListenTLS | None = None
    resolver: ResolverConfig | None = None

    @property
    def domain(self) -> Domain:
        """The routing domain that it is in."""
        if self.netns:
            return Domain("netns", self.netns)
        return Domain("device", self.device) if self.device else OWN

    @property
    def knowsPrograms(self) -> bool:
        """
        Whether the kernel says whose programs some of its clients are.

        Behind a proxy, or diverted, they are not at the other end of the connection. In
        another network namespace the kernel would speak of our own.
        """
        if self.proxy_protocol_from is not None or self.transparent is not None:
            return False
        if self.netns:
            return False
        return any(
            each.startswith(UNIX) or (self.tls is None and isWithin(each))
            for each in self.address
        )

    @property
    def places(self) -> tuple[str, ...]:
        """Its addresses, or its endpoint."""
        return self.address + ((self.endpoint,) if self.endpoint else ())

    @property
    def spoken(self) -> tuple[str, ...]:
        """The names of what its clients may speak (C{socksgw.wire.server})."""
        return self.protocols if self.transparent is None else ("transparent",)
