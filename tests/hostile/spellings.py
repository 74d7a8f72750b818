"""
How clients spell places that they must not reach.

The expectations come from the contract: a strict literal is the address it
says, and is denied by the policy (02); what is neither a strict literal nor
a host name is refused before any look-up (01); a host name is looked up, and
what it leads to is judged (02).
"""

from __future__ import annotations

__all__ = [
    "FOURS",
    "LITERALS",
    "MALFORMED",
    "NAMES",
    "PRIVATE_FOURS",
    "PRIVATE_LITERALS",
    "PRIVATE_SIXES",
    "SIXES",
]


def _words(text: str) -> list[str]:
    return text.split()


#: Loopback, "this network", link-local, metadata, multicast, reserved and
#: broadcast addresses (IANA's IPv4 special-purpose registry).
FOURS = _words("""
    127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 127.255.255.255 127.0.0.0
    0.0.0.0 0.0.0.1 0.0.0.255 0.1.2.3 0.255.255.255
    169.254.169.254 169.254.0.1 169.254.170.2 169.254.170.23 169.254.169.253
    169.254.42.42 100.100.100.200 168.63.129.16 192.0.0.192
    192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1
    203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.254
    255.255.255.255
""")

#: The same for IPv6, and every form in which an IPv6 address carries an IPv4
#: one: mapped and compatible (RFC 4291), translated (RFC 2765), NAT64
#: (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
SIXES = _words("""
    ::1 :: ::2 ::ffff
    ::ffff:127.0.0.1 ::ffff:127.1.2.3 ::ffff:0.0.0.0 ::ffff:169.254.169.254
    ::ffff:224.0.0.1 ::ffff:255.255.255.255 ::ffff:100.100.100.200
    ::127.0.0.1 ::169.254.169.254 ::0.0.0.2 ::224.0.0.1
    ::ffff:0:127.0.0.1 ::ffff:0:169.254.169.254 ::ffff:0:0.0.0.0
    64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b::0.0.0.0
    64:ff9b::100.100.100.200 64:ff9b::255.255.255.255
    64:ff9b:1:7f00:0:100:: 64:ff9b:1::7f:0:0100:0 64:ff9b:1::7f00:1
    64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1::a9fe:a9fe 64:ff9b:1::808:808
    2002:7f00:1:: 2002:7f00:1::1 2002:a9fe:a9fe::1 2002:0:0::1 2002:e000:1::
    2001:0:7f00:1:: 2001:0:7f00:1:0:0:f7f7:f7f7 2001:0:a9fe:a9fe::
    2001:0:808:808:8000:63bf:80ff:fffe 2001:0:808:808:0:0:5601:5601
    2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:127.0.0.1
    2606:4700::5efe:169.254.169.254 2606:4700::200:5efe:0.0.0.0
    fe80::1 fe80::5efe:127.0.0.1 fe80::a9fe:a9fe febf:ffff::1 fec0::1
    fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42
    100::1 2001:2::1 2001:10::1 2001:db8::1 3fff::1 4000::1 8000::1
    ff02::1 ff05::2 ff0e::1 ffff::1
""")

#: Denied by the built-in rules, not by the ban before every rule.
PRIVATE_FOURS = _words("""
    10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.254 192.168.0.1
    192.168.255.255 100.64.0.1 100.127.255.254
""")
PRIVATE_SIXES = _words("""
    fc00::1 fd00::1 fdff:ffff::1 ::ffff:10.0.0.1 ::ffff:192.168.1.1
    ::ffff:100.64.0.1 64:ff9b::10.0.0.1 64:ff9b::192.168.1.1
    64:ff9b::172.16.0.1 64:ff9b::100.64.0.1 2606:4700::5efe:10.0.0.1
    2606:4700::200:5efe:192.168.1.1
""")

_SIX_OTHERWISE = _words("""
    0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:0000:0000:0001 0::1 ::0:1 ::0001
    0:0:0:0:0:0:0:0 0::0 ::0.0.0.1 ::0.0.0.0 0::0.0.0.0
    ::FFFF:127.0.0.1 ::FfFf:7F00:1 0:0:0:0:0:ffff:7f00:0001 0::ffff:7f00:1
    0:0:0:0:0:FFFF:127.0.0.1 ::ffff:7f00:0001 ::7f00:1 ::ffff:0:7f00:1
    64:FF9B::7F00:1 64:ff9b:0:0:0:0:7f00:1 2002:7F00:0001:0:0:0:0:0
    ::ffff:a9fe:a9fe ::FFFF:A9FE:A9FE FE80::1 FD00:EC2::254 Fd00:0eC2::0254
""")

#: Name fields that hold a strict literal: brackets, case and one root dot
#: are normalised first.
LITERALS = [
    text.encode()
    for text in (
        *FOURS,
        *SIXES,
        *_SIX_OTHERWISE,
        *(f"[{text}]" for text in (*SIXES, *_SIX_OTHERWISE)),
        *(f"{text}." for text in FOURS),
        "[127.0.0.1]",
    )
]
PRIVATE_LITERALS = [
    text.encode()
    for text in (
        *PRIVATE_FOURS,
        *PRIVATE_SIXES,
        *(f"{text}." for text in PRIVATE_FOURS),
        *(f"[{text}]" for text in PRIVATE_SIXES),
    )
]

#: Numbers that inet_aton(3), a browser or a library would take for loopback
#: or for a metadata service, and that are no strict dotted quad.
_NUMBERS = _words("""
    0177.0.0.1 0177.0.0.01 0177.0000.0000.0001 0000177.0.0.1 00127.0.0.1
    0127.0.0.1 127.00.0.1 127.0.0.01 127.0.0.001 127.000.000.001
    0x7f.0.0.1 0X7F.0.0.1 0x7f.0x0.0x0.0x1 0x7f.0.0.0x1 0x7F.0X00.0X00.0X01
    0x7f000001 0X7F000001 0x7F000001. 0x0000007f000001 0x100000000007f000001
    0x7f.1 0x7f.0.1 0x7f.0x1 127.0x1 127.0.0x1 127.0.0.0x1 0x7f.0x000001
    2130706433 2130706433. 02130706433 017700000001 0017700000001 17700000001
    127.1 127.0.1 127.1. 127.01 127.65535 127.16777215 127.0.65535
    0177.1 0177.0.1 0177.01
    127 1 0 00 0. 0x 0x0 0x0. 0x. 000000000 00.00.00.00 0.0 0.0.0 0.0.0.0.0
    0x0.0x0.0x0.0x0 0x.0x.0x.0x
    4294967295 4294967296 6425673729 18446744071562067969 340282366920938463463
    127.0.0.256 127.0.0.-1 127.0.0.+1 +127.0.0.1 -127.0.0.1
    383.0.0.1 256.0.0.1 127.0.0.1.1 1.127.0.0.1 127.0.0.1.0 127.0.0
    2852039166 0xa9fea9fe 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 025177524776
    169.254.43518 169.16689662 0251.254.169.254 0xa9.254.169.254
    0xA9FEA9FE 169.254.0xa9fe 0251.0376.0124776 1684300232 0x646464c8
    0b1111111.0.0.1 0o177.0.0.1 127_0.0.0.1 1_2_7.0.0.1 localhost.1
    localhost.0x7f
""")

_SIX_BROKEN = _words("""
    ::1%lo ::1%1 ::1%25lo ::1%25.example.com [::1%lo] [::1%25lo] ::1%
    fe80::1%eth0 fe80::1%25eth0 [fe80::1%1] ::ffff:127.0.0.1%lo
    ::1. [::1]. [::1].. [::1 ::1] [[::1]] [] [.] []127.0.0.1 [127.0.0.1.]
    [localhost] [::1]localhost [::1].localhost [::1]:80 ::1:80:: [127.0.0.1]:80
    : ::: :::1 1::2::3 0:0:0:0:0:0:0:0:1 0:0:0:0:0:0:1 12345::1 ::g
    ::0x1 ::00001 ::ffff:127.1 ::ffff:0x7f.0.0.1 ::ffff:0177.0.0.1
    ::ffff:2130706433 ::ffff:127.0.0.01 ::ffff:127.0.0.1. ::ffff:127.0.0
    [v1.::1] [::1/128] ::1/128 \\[::1\\] ipv6:::1 localhost:80 127.0.0.1:80
    127.0.0.1::
""")

_DECORATED = [
    b"",
    b".",
    b"..",
    b"...",
    b"127.0.0.1..",
    b".127.0.0.1",
    b"127..0.0.1",
    b"127.0.0..1",
    b"localhost..",
    b".localhost",
    b"local..host",
    b"*",
    b"*.localhost",
    b"-",
    b"-localhost",
    b" ",
    b" 127.0.0.1",
    b"127.0.0.1 ",
    b"\t127.0.0.1",
    b"127.0.0.1\t",
    b"127.0.0.1\n",
    b"127.0.0.1\r\n",
    b"\n127.0.0.1",
    b"127.0.0.1\x0b",
    b"127.0.0.1\x7f",
    b"localhost ",
    b"localhost\n",
    b"localhost\r\nX: y",
    b"127.0.0.1 example.com",
    b"example.com 127.0.0.1",
    b"127.0.0.1\0",
    b"127.0.0.1\0.example.com",
    b"::1\0.example.com",
    b"localhost\0",
    b"localhost\0.example.com",
    b"localhost\0.localhost",
    b"\0127.0.0.1",
    b"\0localhost",
    b"127\x000.0.1",
    b"\0",
    b"127.0.0.1/",
    b"127.0.0.1/32",
    b"127.0.0.1#",
    b"127.0.0.1?",
    b"127.0.0.1#.example.com",
    b"http://127.0.0.1/",
    b"//127.0.0.1",
    b"http:127.0.0.1",
    b"127.0.0.1\\",
    b"\\\\127.0.0.1",
    b"127.0.0.1@example.com",
    b"example.com@127.0.0.1",
    b"user:pass@127.0.0.1",
    b"127.0.0.1,example.com",
    b"127.0.0.1;example.com",
    b"127.0.0.1&x",
    b"$(127.0.0.1)",
    b"'127.0.0.1'",
    b'"127.0.0.1"',
    b"(127.0.0.1)",
    b"{127.0.0.1}",
    b"<127.0.0.1>",
    b"%31%32%37.0.0.1",
    b"127%2e0%2e0%2e1",
    b"127.0.0.1%00",
    b"127.0.0.1%00.example.com",
    b"127.0.0.1%20",
    b"%6cocalhost",
    b"localhost%00",
    b"%3a%3a1",
    b"&#49;27.0.0.1",
    b"\\x31\\x32\\x37.0.0.1",
    b"localhost!",
    b"local~host",
    b"a" * 64 + b".localhost",
    b"a." * 127 + b"a",
    b"a" * 255,
    b"1" * 255,
    b"0" * 246 + b"127.0.0.1",
    b"." * 255,
    b"\xff" * 255,
    b"\0" * 255,
    b"[" * 255,
    b":" * 255,
    # Beyond ASCII only the A-label form is a name.
    *(
        text.encode()
        for text in (
            "127。0。0。1",
            "127．0．0．1",
            "127｡0｡0｡1",
            "１２７.０.０.１",
            "１２７。０。０。１",
            "①②⑦.⓪.⓪.①",
            "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
            "٠١٢٧.0.0.1",
            "१२७.०.०.१",
            "0ｘ7f000001",
            "２１３０７０６４３３",
            "localhost。",
            "ｌｏｃａｌｈｏｓｔ",
            "ⓛocalhost",
            "ℓocalhost",
            "localhoſt",
            "lоcalhost",
            "local\u00adhost",
            "local\u200bhost",
            "\ufeff127.0.0.1",
            "127.0.0.1\u200b",
            "127.0.0.1\u2028",
            "\u202e1.0.0.721",
            "127.0.0.1\u0000\u202e",
            "［::1］",
            "：：1",
            "::１",
            "ß.localhost",
        )
    ),
    "localhöst".encode("latin-1"),
    "127.0.0.1".encode("utf-16-le"),
    "127.0.0.1".encode("utf-16"),
    b"\xff\xfe",
    b"127.0.0.\xb1",
    b"127\xae0\xae0\xae1",
    b"\xc0\xb127.0.0.1",
    b"127.0.0.1\xa0",
    b"127.0.0.1\x85",
]

#: Neither a strict literal nor a host name.
MALFORMED = [
    *(text.encode() for text in (*_NUMBERS, *_SIX_BROKEN)),
    *_DECORATED,
]

#: Host names, whatever they look like: only a look-up tells where they lead.
NAMES = [
    b"localhost",
    b"LOCALHOST",
    b"LocalHost",
    b"localhost.",
    b"LOCALHOST.",
    b"localhost.localdomain",
    b"localhost6",
    b"ip6-localhost",
    b"ip6-loopback",
    b"foo.localhost",
    b"broadcasthost",
    b"metadata",
    b"metadata.google.internal",
    b"METADATA.GOOGLE.INTERNAL.",
    b"instance-data.ec2.internal",
    b"127.0.0.1.nip.io",
    b"127-0-0-1.sslip.io",
    b"127-0-0-1",
    b"localhost-",
    b"local-.host",
    b"7f000001.example.com",
    b"0x7f.0.0.1.example.com",
    b"0x7f.0.0.g",
    b"0x7f000001g",
    b"127.0.0.1.x",
    b"127.0.0.1a",
    b"127.0.0.1e0",
    b"a127.0.0.1b",
    b"1e3",
    b"0b1",
    b"7f",
    b"2130706433.x",
    b"xn--11-7e0a.xn--11-7e0a",
    b"xn--fa-hia.localhost",
    b"_localhost",
    b"_",
    b"loca_lhost",
    b"fe80--1.ipv6-literal.net",
    b"a" * 63 + b".localhost",
    b".".join([b"a" * 49] * 5),
    b"www.example.com",
]
