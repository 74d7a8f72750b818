"""
The built-in networks, against the IANA IPv4 and IPv6 Special-Purpose Address
Registries (and, for what lies between, the IPv6 address space registry, where
everything outside of 2000::/3 and the ranges named is reserved by the IETF).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from socksgw.policy.special import embedded, kinds
from socksgw.wire.address import Address
from tests.fakes.policy import Facts, judge, ruleset

#: Prefix; what the addresses in it are; what the address before its first and
#: the one behind its last are. C{-}: there is none.
REGISTRIES = """
    0.0.0.0/8            special   -        public
    10.0.0.0/8           private   public   public
    100.64.0.0/10        private   public   public
    127.0.0.0/8          special   public   public
    169.254.0.0/16       special   public   public
    172.16.0.0/12        private   public   public
    192.0.0.0/24         special   public   public
    192.0.0.0/29         special   public   special
    192.0.0.8/32         special   special  special
    192.0.0.9/32         special   special  special
    192.0.0.10/32        special   special  special
    192.0.0.170/31       special   special  special
    192.0.2.0/24         special   public   public
    192.31.196.0/24      public    public   public
    192.52.193.0/24      public    public   public
    192.88.99.0/24       special   public   public
    192.168.0.0/16       private   public   public
    192.175.48.0/24      public    public   public
    198.18.0.0/15        special   public   public
    198.51.100.0/24      special   public   public
    203.0.113.0/24       special   public   public
    224.0.0.0/4          special   public   special
    240.0.0.0/4          special   special  -
    255.255.255.255/32   special   special  -

    ::/128               special   -        special
    ::1/128              special   special  special
    64:ff9b::/96         public    special  special
    64:ff9b:1::/48       special   special  special
    100::/64             special   special  special
    100:0:0:1::/64       special   special  special
    2000::/3             public    special  special
    2001::/23            special   public   public
    2001::/32            special   public   special
    2001:1::1/128        special   special  special
    2001:1::2/128        special   special  special
    2001:1::3/128        special   special  special
    2001:2::/48          special   special  special
    2001:3::/32          public    special  special
    2001:4:112::/48      public    special  special
    2001:10::/28         special   special  public
    2001:20::/28         public    special  public
    2001:30::/28         public    public   special
    2001:db8::/32        special   public   public
    2002::/16            special   public   public
    2620:4f:8000::/48    public    public   public
    3fff::/20            special   public   public
    5f00::/16            special   special  special
    fc00::/7             private   special  special
    fe80::/10            special   special  special
    fec0::/10            special   special  special
    ff00::/8             special   special  -
"""

#: Where clouds serve their machines' credentials.
METADATA = (
    "169.254.169.254",  # AWS, Azure, Google, OpenStack, Oracle, DigitalOcean
    "169.254.170.2",  # AWS ECS
    "169.254.170.23",  # AWS EKS
    "168.63.129.16",  # Azure
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle
    "169.254.42.42",  # Scaleway
    "fd00:ec2::254",  # AWS
    "fd00:ec2::23",  # AWS EKS
    "fd00:42::42",  # Scaleway
    "fd20:ce::254",  # Google
)

ANYCAST = ("192.0.0.9", "192.0.0.10", "2001:1::1", "2001:1::2", "2001:1::3")


def edges() -> Iterator[tuple[str, str]]:
    """Every edge of every prefix, and what is there."""
    for line in REGISTRIES.split("\n"):
        if not line.strip():
            continue
        prefix, inside, before, behind = line.split()
        network = ip_network(prefix)
        first, last = network[0], network[-1]
        yield str(first), inside
        yield str(last), inside
        if before != "-":
            yield str(first - 1), before
        if behind != "-":
            yield str(last + 1), behind


@pytest.mark.parametrize(("text", "what"), list(edges()))
def test_everyEdgeOfEveryRegisteredPrefix(text: str, what: str) -> None:
    """
    C{special} is everything that the registries do not call globally
    reachable, and the anycast services of the local network; C{private} is
    RFC 1918, ULA and 100.64/10, and not special.
    """
    found = kinds(Address.parse(text))
    assert ("special" in found, "private" in found) == (
        what == "special",
        what == "private",
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("::1", "loopback"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("febf:ffff::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("240.0.0.1", "reserved"),
        ("192.0.0.1", "reserved"),
        ("fec0::1", "reserved"),
        # Globally reachable by the registries, but answered by the nearest
        # router: port control (RFC 7723), TURN (RFC 8155), and service
        # registration (RFC 9665).
        *((text, "anycast") for text in ANYCAST),
        *((text, "metadata") for text in METADATA),
    ],
)
def test_specialIsSplitIntoKinds(text: str, kind: str) -> None:
    """Each special address has its kind, besides C{special}."""
    assert {"special", kind} <= kinds(Address.parse(text))


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"]
)
def test_publicAddressesHaveNoKind(text: str) -> None:
    """Nothing built-in but C{any} covers the public Internet."""
    assert kinds(Address.parse(text)) == frozenset()


def hexadecimal(inner: str) -> tuple[int, int]:
    """The two halves of an IPv4 address."""
    number = int(IPv4Address(inner))
    return number >> 16, number & 0xFFFF


def wrappings(inner: str) -> dict[str, str]:
    """An IPv4 address in every form that IPv6 has for it."""
    high, low = hexadecimal(inner)
    a, b, c, d = IPv4Address(inner).packed
    return {
        # RFC 4291 2.5.5.2, 2.5.5.1; RFC 2765.
        "mapped": f"::ffff:{inner}",
        "mapped in hexadecimal": f"0:0:0:0:0:FFFF:{high:x}:{low:x}",
        "compatible": f"::{inner}",
        "translated": f"::ffff:0:{inner}",
        # RFC 6052 2.1 and 2.2 (figure 1), RFC 8215.
        "NAT64": f"64:ff9b::{inner}",
        "NAT64 local /48": f"64:ff9b:1:{high:x}:{c:x}:{d << 8:x}::",
        "NAT64 local /56": f"64:ff9b:1:{a:x}:{b:x}:{low:x}::",
        "NAT64 local /64": f"64:ff9b:1:77:{a:x}:{b << 8 | c:x}:{d << 8:x}:0",
        "NAT64 local /96": f"64:ff9b:1:77::{inner}",
        # RFC 3056 2.
        "6to4": f"2002:{high:x}:{low:x}::1",
        "6to4 with a subnet": f"2002:{high:x}:{low:x}:1234:5:6:7:8",
        # RFC 4380 4: the server in bits 32 to 63, the client inverted at the end.
        "Teredo server": f"2001:0:{high:x}:{low:x}::",
        "Teredo client": (
            f"2001:0:4136:e378:8000:63bf:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"
        ),
        # RFC 5214 6.1: behind any prefix, with and without the universal bit.
        "ISATAP": f"2620:fe::5efe:{inner}",
        "ISATAP universal": f"2620:fe::200:5efe:{inner}",
    }


def wrapped(*inner: str) -> list[object]:
    return [
        pytest.param(text, each, id=f"{each} {form}")
        for each in inner
        for form, text in wrappings(each).items()
    ]


@pytest.mark.parametrize(
    ("text", "inner"),
    wrapped("127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8", "1.2.3.4"),
)
def test_wrappedAddressesAreFound(text: str, inner: str) -> None:
    """
    The wrapped address is seen, in every form. An IPv4-mapped one is the IPv4
    address itself.
    """
    address = Address.parse(text)
    found = {address.text, *(each.text for each in embedded(address))}
    assert inner in found


@pytest.mark.parametrize(
    ("text", "inner"), wrapped("127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1")
)
def test_specialInsideAnyWrapperIsBannedByDefault(text: str, inner: str) -> None:
    """C{special} is special also inside of every form, before every rule."""
    rules = ruleset('rule = [{ id = "all", allow = "any" }]')
    assert judge(rules, text) == (False, "never")


@pytest.mark.parametrize(("text", "inner"), wrapped("10.0.0.1", "127.0.0.1"))
def test_aBanCountsInsideOfEveryWrapperByItself(text: str, inner: str) -> None:
    """
    What [never] names is found in every wrapper, also where the wrapper
    itself is not banned.
    """
    rules = ruleset(
        f'never = {{ to = ["{inner}/32"] }}\nrule = [{{ id = "all", allow = "any" }}]'
    )
    assert judge(rules, text) == (False, "never")


@pytest.mark.parametrize(("text", "inner"), wrapped("10.0.0.1"))
def test_aDenyCountsInsideOfEveryWrapper(text: str, inner: str) -> None:
    """A rule that denies an address denies it in every wrapper."""
    rules = ruleset(
        """
        never = { to = [] }
        [[rule]]
        id = "inside"
        deny = "any"
        to = ["10.0.0.0/8"]
        [[rule]]
        id = "all"
        allow = "any"
        """
    )
    assert judge(rules, text) == (False, "inside")


@pytest.mark.parametrize(("text", "inner"), wrapped("10.0.0.1"))
def test_anAllowOfTheWrapperAloneIsNotAnAllowOfWhatItWraps(
    text: str, inner: str
) -> None:
    """The wrapper and what it wraps must both be allowed."""
    rules = ruleset(
        """
        never = { to = [] }
        rule = [{ id = "six", allow = "any", to = ["::/0"] }]
        """
    )
    assert judge(rules, text)[0] is False


def test_aPublicAddressBehindNat64IsReachable() -> None:
    """
    64:ff9b::/96 is called globally reachable (RFC 6052); with a public address
    inside there is nothing to ban.
    """
    rules = ruleset('rule = [{ id = "all", allow = "any" }]')
    assert judge(rules, "64:ff9b::8.8.8.8") == (True, "all")


def test_ordinaryAddressesWrapNothing() -> None:
    """No address is read out of one that is of no such form."""
    for text in ("2620:fe::fe", "2606:4700::6810:84e5", "8.8.8.8", "fd00::1", "::1"):
        assert embedded(Address.parse(text)) == ()


def test_privateIsNotSpecial() -> None:
    """
    C{private} is not in C{special}: reaching private networks is what such
    gateways are for. So the default ban leaves it to the rules.
    """
    rules = ruleset('rule = [{ id = "all", allow = "any" }]')
    for text in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"):
        assert judge(rules, text) == (True, "all")


def test_selfIsEveryAddressOfThisHost() -> None:
    """C{self} is every port of every address of this host, in every form."""
    rules = ruleset(
        'rule = [{ id = "all", allow = "any" }]', Facts(own=("9.9.9.1", "2620:fe::1"))
    )
    for text in ("9.9.9.1", "2620:fe::1", "64:ff9b::9.9.9.1", "2002:909:901::"):
        assert judge(rules, text)[1] == "never"
    assert judge(rules, "9.9.9.2") == (True, "all")


def test_noTwoTextsOfOneAddressDiffer() -> None:
    """Kinds go by the address, never by its spelling."""
    for text in ("::ffff:7f00:1", "::FFFF:127.0.0.1", "0::ffff:127.0.0.1"):
        assert Address.parse(text) == Address.parse("127.0.0.1")
    assert kinds(Address(IPv6Address("FE80::1").packed)) == kinds(
        Address.parse("fe80:0::1")
    )
