"""
Messages that the wire is tested with, by the texts of the standards.

@var REQUESTS4: requests of SOCKS 4 and 4a, and what they ask for.
@var REQUESTS5: the same of SOCKS 5.
@var REQUESTS6: the same of SOCKS 6.
@var WHOLE6: requests of SOCKS 6 that came whole, and what their options say.
@var LITERALS: hosts that are addresses, as clients spell them.
@var NAMES: hosts that are names.
@var REFUSED: hosts that are neither.
"""

from __future__ import annotations

from socksgw.wire.address import Address, BadHost
from socksgw.wire.events import Requested

__all__ = [
    "LITERALS",
    "NAMES",
    "REFUSED",
    "REQUESTS4",
    "REQUESTS5",
    "REQUESTS6",
    "WHOLE6",
]

V4 = Address.parse("192.0.2.7")
V6 = Address.parse("2001:db8::1")

LABEL63 = b"a" * 63

NAME253 = b".".join([LABEL63, LABEL63, LABEL63, b"b" * 61])


REQUESTS4: list[tuple[str, Requested]] = [
    # SOCKS 4, CONNECT: VN CD DSTPORT DSTIP USERID NULL.
    (
        "04 01 0050 c0000207 66726564 00",
        Requested(4, 1, V4, 80, b"192.0.2.7", b"fred"),
    ),
    ("04 01 ffff c0000207 00", Requested(4, 1, V4, 65535, b"192.0.2.7", b"")),
    # SOCKS 4, BIND: the same form.
    ("04 02 0015 c0000207 00", Requested(4, 2, V4, 21, b"192.0.2.7", b"")),
    # Another command is no concern of the wire.
    ("04 7f 0015 c0000207 00", Requested(4, 0x7F, V4, 21, b"192.0.2.7", b"")),
    # SOCKS 4A: 0.0.0.x with x not zero: the name follows USERID's NULL.
    (
        "04 01 01bb 00000001 00 6578616d706c652e636f6d 00",
        Requested(4, 1, "example.com", 443, b"example.com", b""),
    ),
    (
        "04 01 01bb 000000ff 66726564 00 6578616d706c652e636f6d 00",
        Requested(4, 1, "example.com", 443, b"example.com", b"fred"),
    ),
    (
        "04 02 01bb 00000080 00 61 00",
        Requested(4, 2, "a", 443, b"a", b""),
    ),
    # A literal in 4A's name is that address, an IPv6 one too.
    (
        "04 01 0050 00000001 00 3139322e302e322e37 00",
        Requested(4, 1, V4, 80, b"192.0.2.7", b""),
    ),
    (
        "04 01 0050 00000001 00 5b3a3a315d 00",
        Requested(4, 1, Address.parse("::1"), 80, b"[::1]", b""),
    ),
    # 0.0.0.0 is not 4A's, nor is 0.0.1.x or 0.1.0.x or 1.0.0.x.
    (
        "04 01 0050 00000000 00",
        Requested(4, 1, Address(bytes(4)), 80, b"0.0.0.0", b""),
    ),
    (
        "04 01 0050 00000101 00",
        Requested(4, 1, Address(b"\0\0\1\1"), 80, b"0.0.1.1", b""),
    ),
    (
        "04 01 0050 00010001 00",
        Requested(4, 1, Address(b"\0\1\0\1"), 80, b"0.1.0.1", b""),
    ),
    (
        "04 01 0050 01000001 00",
        Requested(4, 1, Address(b"\1\0\0\1"), 80, b"1.0.0.1", b""),
    ),
]

REQUESTS5: list[tuple[str, int, object, int, bytes]] = [
    # CONNECT to an IPv4 address, port 80 (ATYP 01).
    ("05 01 00 01 c0000207 0050", 1, V4, 80, b"192.0.2.7"),
    # BIND and UDP ASSOCIATE have the same form.
    ("05 02 00 01 c0000207 ffff", 2, V4, 65535, b"192.0.2.7"),
    ("05 03 00 01 00000000 0000", 3, Address(bytes(4)), 0, b"0.0.0.0"),
    # A name: its length, no NUL (ATYP 03).
    (
        "05 01 00 03 0b 6578616d706c652e636f6d 01bb",
        1,
        "example.com",
        443,
        b"example.com",
    ),
    ("05 01 00 03 01 61 0001", 1, "a", 1, b"a"),
    # An IPv6 address (ATYP 04).
    (
        "05 01 00 04 20010db8000000000000000000000001 0016",
        1,
        V6,
        22,
        b"2001:db8::1",
    ),
    # An IPv4-mapped one is that IPv4 address.
    (
        "05 01 00 04 00000000000000000000ffff7f000001 0050",
        1,
        Address.parse("127.0.0.1"),
        80,
        b"127.0.0.1",
    ),
    # A literal in a name field is that address, whatever its spelling.
    (
        "05 01 00 03 09 3139322e302e322e37 0050",
        1,
        V4,
        80,
        b"192.0.2.7",
    ),
    ("05 01 00 03 05 5b3a3a315d 0050", 1, Address.parse("::1"), 80, b"[::1]"),
    # A command that has no name is no concern of the wire.
    ("05 aa 00 01 c0000207 0050", 0xAA, V4, 80, b"192.0.2.7"),
    # RSV is not looked at.
    ("05 01 ff 01 c0000207 0050", 1, V4, 80, b"192.0.2.7"),
]

#: Figure "SOCKS 6 Request": version, command, length of the options, port, padding,
#: address type, address, options.
REQUESTS6: list[tuple[str, Requested]] = [
    (
        "06 01 0000 0050 00 01 c0000207",
        Requested(6, 1, V4, 80, b"192.0.2.7", b""),
    ),
    (
        "06 02 0000 ffff 00 04 20010db8000000000000000000000001",
        Requested(6, 2, V6, 65535, b"2001:db8::1", b""),
    ),
    # A name of 11 octets: with its length there is no padding.
    (
        "06 01 0000 01bb 00 03 0b 6578616d706c652e636f6d",
        Requested(6, 1, "example.com", 443, b"example.com", b""),
    ),
    # One octet: two of padding, which draft -11 does not count.
    ("06 03 0000 01bb 00 03 01 61 0000", Requested(6, 3, "a", 443, b"a", b"")),
    # The same as the unpublished draft -12 has it: the length counts the padding.
    ("06 03 0000 01bb 00 03 03 61 0000", Requested(6, 3, "a", 443, b"a", b"")),
    ("06 01 0000 01bb 00 03 02 6162 00", Requested(6, 1, "ab", 443, b"ab", b"")),
    ("06 01 0000 01bb 00 03 03 616263", Requested(6, 1, "abc", 443, b"abc", b"")),
    # NOOP, whose other fields are zero.
    (
        "06 00 0000 0000 00 01 00000000",
        Requested(6, 0, Address(bytes(4)), 0, b"0.0.0.0", b""),
    ),
    # Another command is no concern of the wire; nor is padding that is not zero.
    (
        "06 7f 0000 0050 ff 01 c0000207",
        Requested(6, 0x7F, V4, 80, b"192.0.2.7", b""),
    ),
    # An option that nobody knows (experimental).
    (
        "06 01 0008 0050 00 01 c0000207 fc00 0008 01020304",
        Requested(6, 1, V4, 80, b"192.0.2.7", b""),
    ),
]

#: Requests that are read at one look (sections 4, 8.2, 8.3): with what they say of the
#: login, by method; the methods of one by messages; and the octets without the options.
WHOLE6: list[tuple[str, tuple[object, ...], dict[int, str], str, str]] = [
    (
        "06 01 0000 0050 00 01 c0000207",
        (1, V4, 80, b"192.0.2.7"),
        {},
        "",
        "06 01 0000 0050 00 01 c0000207",
    ),
    (
        "06 01 0000 ffff 00 04 20010db8000000000000000000000001",
        (1, V6, 65535, b"2001:db8::1"),
        {},
        "",
        "06 01 0000 ffff 00 04 20010db8000000000000000000000001",
    ),
    # No host; neither is it broken.
    (
        "06 01 0000 0050 00 03 00 000000",
        (1, BadHost(b"", "empty"), 80, b""),
        {},
        "",
        "06 01 0000 0050 00 03 00 000000",
    ),
    # Two octets, which with their length want one of padding; as in draft -12.
    (
        "06 01 0000 01bb 00 03 03 6162 00",
        (1, "ab", 443, b"ab"),
        {},
        "",
        "06 01 0000 01bb 00 03 03 6162 00",
    ),
    # Authentication Method Advertisement of 02 and 01, without initial data; padding.
    (
        "06 01 0008 01bb 00 03 03 616263 0002 0008 0000 02 01",
        (1, "abc", 443, b"abc"),
        {},
        "0201",
        "06 01 0000 01bb 00 03 03 616263",
    ),
    # Authentication Data of method 02: user "a", password "b", padding of two octets.
    (
        "06 01 000c 0050 00 01 c0000207 0004 000c 02 01 01 61 01 62 0000",
        (1, V4, 80, b"192.0.2.7"),
        {2: "01 01 61 01 62 0000"},
        "",
        "06 01 0000 0050 00 01 c0000207",
    ),
    # Both, with one that nobody knows between them; some initial data.
    (
        "06 01 0018 01bb 00 04 20010db8000000000000000000000001"
        "0004 0008 03 616263 fc00 0008 00000000 0002 0008 0005 02 00",
        (1, V6, 443, b"2001:db8::1"),
        {3: "616263"},
        "02",
        "06 01 0000 01bb 00 04 20010db8000000000000000000000001",
    ),
]

#: Strict literals, and spellings that differ from one by brackets, case or
#: one root dot only.
LITERALS: list[tuple[bytes, str]] = [
    (b"127.0.0.1", "127.0.0.1"),
    (b"0.0.0.0", "0.0.0.0"),
    (b"255.255.255.255", "255.255.255.255"),
    (b"192.0.2.1.", "192.0.2.1"),
    (b"[127.0.0.1]", "127.0.0.1"),
    (b"::", "::"),
    (b"::1", "::1"),
    (b"[::1]", "::1"),
    (b"0:0:0:0:0:0:0:1", "::1"),
    (b"0000:0000:0000:0000:0000:0000:0000:0001", "::1"),
    (b"2001:DB8::A", "2001:db8::a"),
    (b"[2001:DB8::A]", "2001:db8::a"),
    (b"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    # An IPv4-mapped address is that IPv4 address.
    (b"::ffff:127.0.0.1", "127.0.0.1"),
    (b"[::ffff:127.0.0.1]", "127.0.0.1"),
    (b"::FFFF:7F00:1", "127.0.0.1"),
    (b"::ffff:7f00:1", "127.0.0.1"),
    (b"0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"),
    # Other embeddings are their own IPv6 addresses.
    (b"::127.0.0.1", "::7f00:1"),
    (b"64:ff9b::127.0.0.1", "64:ff9b::7f00:1"),
]

#: Host names, in their normal form.
NAMES: list[tuple[bytes, str]] = [
    (b"example.com", "example.com"),
    (b"EXAMPLE.Com", "example.com"),
    (b"example.com.", "example.com"),
    (b"localhost", "localhost"),
    (b"a", "a"),
    (b"a-b.c", "a-b.c"),
    (b"a--b", "a--b"),
    # Hyphens at the ends of a label, as the C library takes them.
    (b"a-.example", "a-.example"),
    (b"API-.example.", "api-.example"),
    (b"a.-b.example", "a.-b.example"),
    (b"a.b-.-", "a.b-.-"),
    (b"a.1-", "a.1-"),
    (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
    (b"_sip._tcp.example.com", "_sip._tcp.example.com"),
    (b"under_score.example", "under_score.example"),
    (b"1and1.com", "1and1.com"),
    (b"127.0.0.1.example", "127.0.0.1.example"),
    (b"0x7f.1.example", "0x7f.1.example"),
    (b"1.2.3.4x", "1.2.3.4x"),
    (b"0x7g", "0x7g"),
    (b"dead.beef", "dead.beef"),
    (LABEL63 + b".example", LABEL63.decode() + ".example"),
    (NAME253, NAME253.decode()),
    (NAME253 + b".", NAME253.decode()),
    (b"a." * 127, "a." * 126 + "a"),
]

#: Neither.
REFUSED: list[bytes] = [
    b"",
    b".",
    b"..",
    b"...",
    b".example.com",
    b"a..b",
    b"example.com..",
    # What inet_aton takes, and a strict reader does not.
    b"127.1",
    b"127.0.1",
    b"127.0.0.01",
    b"127.0.0.1..",
    b"0177.0.0.1",
    b"0x7f.0.0.1",
    b"0x7f.1",
    b"0X7F.1",
    b"0x7f000001",
    b"2130706433",
    b"017700000001",
    b"0",
    b"00",
    b"0x",
    b"0x0",
    b"1",
    b"1.",
    b"127.1.",
    b"0x7f.1.",
    b"[127.1]",
    b"[2130706433]",
    # Looks like an address, and is none.
    b"256.0.0.1",
    b"1.2.3.4.5",
    b"1.2.3.999",
    b"1.2.3.0x4",
    b"4294967296",
    b"99999999999999999999",
    b"-1",
    b"1.2.3.-4",
    b"+1.2.3.4",
    # No top-level domain is a number.
    b"example.1",
    b"example.0x1f",
    b"example.123.",
    # IPv6 that is none, and zone ids.
    b":",
    b":::",
    b"::1::",
    b"1:2:3:4:5:6:7",
    b"1:2:3:4:5:6:7:8:9",
    b"12345::",
    b"g::1",
    b"fe80::1%eth0",
    b"[fe80::1%eth0]",
    b"fe80::1%25eth0",
    b"fe80::1%",
    b"::1%lo",
    b"::1.",
    b"[::1].",
    b"::1/128",
    b"::ffff:127.1",
    b"::ffff:0177.0.0.1",
    b"::ffff:127.0.0.01",
    b"127.0.0.1:80",
    b"[::1]:80",
    b"example.com:80",
    # Brackets.
    b"[",
    b"]",
    b"[]",
    b"[[::1]]",
    b"[::1",
    b"::1]",
    b"[example.com]",
    # Octets that no name has.
    b"127.0.0.1\0.example.com",
    b"example.com\0",
    b"\0",
    b"exa mple.com",
    b" example.com",
    b"example.com ",
    b" 127.0.0.1",
    b"127.0.0.1 ",
    b"127.0.0.1\n",
    b"127.0.0.1\texample.com",
    b"127.0.0.1 example.com",
    b"example.com\n",
    b"example.com\r\n",
    b"\xa0example.com",
    b"exam%70le.com",
    b"%31%32%37.0.0.1",
    b"127%2e0%2e0%2e1",
    b"user@example.com",
    b"http://example.com",
    b"example.com/",
    b"*.example.com",
    b"a,b",
    b"a;b",
    b"a'b",
    b'a"b',
    b"a\\b",
    b"\x7f",
    # Digits and dots that are not ASCII, and a name that is not its A-label.
    "１２７.0.0.1".encode(),
    "127。0。0。1".encode(),
    "①②⑦.0.0.1".encode(),
    "bücher.example".encode(),
    b"b\xfccher.example",
    b"\xff\xfe\x00",
    # A hyphen at the start of the name.
    b"-a.example",
    b"-",
    b"-.a",
    b"--",
    b"a.-0x1",
    # Lengths.
    b"a" * 64,
    b"a" * 64 + b".example",
    NAME253 + b"c",
    NAME253[:-1] + b".cc",
    b"a" * 254,
    b"a" * 255,
]
