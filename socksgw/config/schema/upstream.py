"""
The table of other gateways that sessions leave by.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = ["Upstream", "UpstreamCheck", "UpstreamLogin"]


@frozen
class UpstreamCheck:
    """
    Checks of an upstream: a connection to it and a login, as sessions have them.

    @ivar every: The time between two checks; it varies by a tenth.
    @ivar fall: So many failed checks in a row, or failed sessions, eject it.
    @ivar rise: So many passed checks in a row bring it back.
    @ivar target: Something that it has to connect to in each check, such as
        C{"www.example:443"}. The connection is closed at once.
    """

    every: Duration
    fall: int = 3
    rise: int = 2
    target: str = ""


@frozen
class UpstreamLogin:
    """
    How the gateway logs in at an upstream.

    The upstream gets nothing of this unless it asks for just this login.

    @ivar method: C{"none"}; C{"userpass"}: user and password (RFC 1929, Basic in HTTP);
        C{"gssapi"}: Kerberos in SOCKS 5, and protection of what follows (RFC 1961);
        C{"negotiate"}: Kerberos in HTTP; C{"token"}: Bearer in HTTP; C{"certificate"}:
        the upstream asks for the client certificate in TLS, and for nothing else.
    @ivar user: The user, with C{"userpass"}. With C{"gssapi"} and C{"negotiate"} the
        principal; absent, that of the tickets. With C{"none"} and SOCKS 4a, the user id.
    @ivar password_file: The file of the password, in one line, which nobody else may
        read. It is read again when it changes.
    @ivar token_file: Likewise the file of the token.
    @ivar certificate: The file of the client certificate and its chain, in PEM. It is
        shown to an upstream that asks for it, whatever the method. It is read again
        when it changes.
    @ivar key: The file of its private key, which nobody else may read. Absent: the key
        is in the file of the certificate.
    @ivar service: The upstream's name in Kerberos, C{"service"} or C{"service@host"}.
        Absent: C{rcmd} in SOCKS, C{HTTP} in HTTP, at the host of C{url}.
    @ivar protection: Levels of protection that are acceptable with C{"gssapi"}:
        C{"confidentiality"} and C{"integrity"}. The first is asked for.
    @ivar keytab: The file of the principal's keys, to get tickets by; nobody else may
        read it. Absent: somebody else gets the tickets, C{kinit} say.
    @ivar cache: The credential cache, written as in C{KRB5CCNAME}. Absent: the usual
        one, or with C{keytab} one in memory.
    """

    method: Literal[
        "none", "userpass", "gssapi", "negotiate", "token", "certificate"
    ] = "none"
    user: str = ""
    password_file: str = ""
    token_file: str = ""
    certificate: str = ""
    key: str = ""
    service: str = ""
    protection: tuple[str, ...] | None = None
    keytab: str = ""
    cache: str = ""


@frozen
class Upstream:
    """
    Another gateway, which rules name in C{via}.

    @ivar name: Its name, for C{via} of rules and for the journal.
    @ivar url: Where it is, and what it speaks: C{"socks5://gw2.example:1080"}. The
        protocol is C{socks5}, C{socks4a}, C{socks6} or C{http}, and inside TLS C{socks5+tls},
        C{socks4a+tls} or C{https}. The host is a name or an address, IPv6 in brackets;
        the port is needed.
    @ivar resolve: Who looks up the name of the destination, and that of the next
        upstream of a chain. C{"here"}: this gateway, which judges the addresses.
        C{"there"}: the upstream; rules that name an address decide nothing then.
    @ivar udp: How datagrams go to it. C{"associate"}: beside the connection, as RFC
        1928 has it. C{"hev"} and C{"gost"}: inside the connection, as socksgw takes
        them where C{listen.udp.tunnels} says so. SOCKS 6 has them inside it by
        itself.
    @ivar fast_open: C{true}: what is said to it first goes in the first packet where the
        kernel can (TCP Fast Open, RFC 7413), which saves a round trip. With C{socks5},
        C{socks6} and inside TLS, and where its name has one address. In clear, C{socks6}
        has its request there, which may come twice (C{socksgw help socks6}).
    @ivar session: C{true}: one login for many requests, with C{socks6}: the later ones
        say the ID of a session, and each spends a token, so that one that comes twice
        is served once (C{socksgw help socks6}). Not with C{pass_through} and
        C{identity_key}.
    @ivar pass_through: C{true}: it is given the name and the password by which the
        client has logged in here, if it asks for these. Clients that have shown no
        password are refused.
    @ivar cleartext_passwords: C{true}: passwords and tokens may go to it without TLS;
        else only where it is on this host.
    @ivar identity_key: The file of a private key in PEM, by which this gateway signs who
        the client is: user, groups, address. For another socksgw that believes it
        (C{listen.identity_keys} there), over TLS.
    @ivar check: Checks that eject the upstream and bring it back. Absent: sessions do.
    @ivar login: How the gateway logs in there.
    @ivar ca: The file of the authorities that issue its certificate, in PEM. Absent:
        those that the system believes. It is read again when it changes.
    @ivar server_name: The name that its certificate has to be for. Absent: the host of
        C{url}.
    """

    name: str
    url: str
    resolve: Literal["here", "there"] = "here"
    udp: Literal["associate", "hev", "gost"] = "associate"
    fast_open: bool = False
    session: bool = False
    pass_through: bool = False
    cleartext_passwords: bool = False
    identity_key: str = ""
    check: UpstreamCheck | None = None
    login: UpstreamLogin = UpstreamLogin()
    ca: str = ""
    server_name: str = ""
