"""
What is written of a Squid server's file.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.squid.writing import draftOf

FILES = {"/users": "bob:$2y$05$abcdefghijklmnopqrstuuMgGWGIYh9DzBd.2HDZC1ZlRNrwgPZq.\n"}
HOST = Host(lambda _: (), lambda _: None, FILES.get, zone="Europe/Berlin")
ACLS = """\
acl lan src 10.0.0.0/8
acl own src 10.5.0.0/16
acl servers dst 10.1.0.0/16
acl sites dstdomain -n .x.example y.example
acl looked dstdomain .z.example
acl web port 80 443
acl bob proxy_auth bob
acl staff proxy_auth REQUIRED
acl noon time W 12:00-12:59
acl bad url_regex bad
acl ssl port 443
acl office myportname office
http_port 3128
"""


def drafted(rules: str) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    lines = [f"http_access {each}" for each in rules.splitlines() if each]
    text = ACLS + "\n".join(each.replace("http_access +", "") for each in lines)
    draft = draftOf(text, HOST)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def rules(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Rules without their names."""
    return [
        {key: value for key, value in each.items() if key != "id"}
        for each in made.get("rule", ())
    ]


def told(draft: Draft) -> dict[str, str]:
    """What is not the same, by what is said."""
    return {each.said: each.why for each in draft.left}


def wider(draft: Draft) -> list[str]:
    """What would allow more."""
    return [each.said for each in draft.left if each.wider]


DENIED = {"deny": ["connect"]}
ALLOWED = {"allow": ["connect"]}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("allow lan", [{**ALLOWED, "from": ["10.0.0.0/8"]}]),
        # The opposite of the last line.
        ("deny lan", [{**DENIED, "from": ["10.0.0.0/8"]}, ALLOWED]),
        (
            "allow lan web servers noon",
            [{
                **ALLOWED, "from": ["10.0.0.0/8"], "to": ["10.1.0.0/16"],
                "ports": [80, 443], "during": ["noon"],
            }],
        ),
        (
            "allow sites servers",
            [{
                **ALLOWED, "to": [".x.example", "=y.example"],
                "resolving_to": ["10.1.0.0/16"],
            }],
        ),
        # What must not be there is judged by the lines that follow.
        (
            "allow lan !sites\nallow own sites",
            [
                {
                    **ALLOWED, "from": ["10.5.0.0/16"],
                    "to": [".x.example", "=y.example"], "resolving_to": ["any"],
                },
                {
                    **DENIED, "from": ["10.0.0.0/8"], "to": [".x.example", "=y.example"],
                },
                {**ALLOWED, "from": ["10.0.0.0/8"]},
                {
                    **ALLOWED, "from": ["10.5.0.0/16"],
                    "to": [".x.example", "=y.example"], "resolving_to": ["any"],
                },
            ],
        ),
        # Tunnels elsewhere carry HTTP alone, as requests do.
        (
            "deny CONNECT !ssl\nallow lan",
            [
                {**ALLOWED, "from": ["10.0.0.0/8"], "ports": [443]},
                {**ALLOWED, "from": ["10.0.0.0/8"], "application": ["http"]},
            ],
        ),
        # Who comes to a condition about users has to log in.
        (
            "deny own bob\nallow lan",
            [
                {**DENIED, "from": ["10.5.0.0/16"], "who": ["anonymous"]},
                {**DENIED, "from": ["10.5.0.0/16"], "who": ["bob"]},
                {**ALLOWED, "from": ["10.0.0.0/8"]},
            ],
        ),
        ("allow staff", [{**ALLOWED, "who": ["users"]}]),
        ("allow manager lan\ndeny manager\nallow lan", [{**ALLOWED, "from": ["10.0.0.0/8"]}]),
        ("deny all", [DENIED]),
        ("", []),
    ],
)  # fmt: skip
def test_rules(lines: str, expected: list[dict[str, Any]]) -> None:
    """Each condition has its field."""
    made, draft = drafted(lines)
    assert rules(made) == expected
    assert wider(draft) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("deny bad\nallow lan", "deny bad"),
        ("allow lan !bad", "allow lan !bad"),
        ("deny looked\nallow lan", "deny looked"),
        ("allow lan !looked", "allow lan !looked"),
        ("allow CONNECT lan", "allow CONNECT lan"),
        ("deny !CONNECT\nallow lan", "deny !CONNECT"),
        ("allow lan\n+miss_access deny all", "miss_access"),
        ("allow lan\n+http_reply_access deny all", "http_reply_access"),
        ("allow lan\n+url_rewrite_program /x", "url_rewrite_program"),
        ("allow lan\n+client_ip_max_connections 8", "client_ip_max_connections"),
        ("allow lan\n+ssl_bump terminate all", "ssl_bump terminate all"),
        ("allow lan\n+https_port 1 tls-clientca=/x", "https_port tls-clientca"),
    ],
)
def test_wider(lines: str, said: str) -> None:
    """What keeps somebody out there, and nobody here, is marked."""
    _, draft = drafted(lines)
    assert wider(draft) == [said]
    # Nothing is expected of rules that are not the same, but where the DNS is asked.
    assert ("[[expect]]" in told(draft)) is ("looked" not in said)


@pytest.mark.parametrize(
    ("lines", "said", "expected"),
    [
        ("allow bad\nallow lan", "allow bad", [{**ALLOWED, "from": ["10.0.0.0/8"]}]),
        ("deny !bad\nallow lan", "deny !bad", [DENIED]),
        ("allow looked lan", "allow looked lan", [{
            **ALLOWED, "from": ["10.0.0.0/8"], "to": [".z.example"],
            "resolving_to": ["any"],
        }]),
        # The last line is left out, and what no line is about stays as it was.
        ("deny own\nallow bad", "allow bad", [
            {**DENIED, "from": ["10.5.0.0/16"]}, DENIED,
        ]),
        ("allow lan\n+ssl_bump splice all", "ssl_bump splice all", [
            {**ALLOWED, "from": ["10.0.0.0/8"]},
        ]),
        ("allow lan\n+frobnicate on", "frobnicate", [
            {**ALLOWED, "from": ["10.0.0.0/8"]},
        ]),
    ],
)  # fmt: skip
def test_narrower(lines: str, said: str, expected: list[dict[str, Any]]) -> None:
    """What cannot be kept lets nobody through, and is told."""
    made, draft = drafted(lines)
    assert rules(made) == expected
    assert said in told(draft)
    assert wider(draft) == []


def test_ports() -> None:
    """Names, families, TLS and how the kernel brings clients."""
    made, draft = drafted(
        "allow office\n+http_port 10.0.0.1:8080 name=office\n+http_port [::1]:1 tproxy\n"
        "+https_port 3129 tls-cert=/c tls-key=/k\n+http_port 80 accel\n"
        "+http_port 3130 intercept ssl-bump\n+tcp_outgoing_address 10.0.0.9\n"
    )
    assert [
        (e["name"], e["address"], e.get("transparent"), e.get("tls"))
        for e in made["listen"]
    ] == [
        ("http", ["0.0.0.0:3128", "[::]:3128"], None, None),
        ("office", ["10.0.0.1:8080"], None, None),
        ("http-3", ["[::1]:1"], "tproxy", None),
        (
            "http-4", ["0.0.0.0:3129", "[::]:3129"], None,
            {"certificate": "/c", "key": "/k"},
        ),
        ("http-5", ["0.0.0.0:3130", "[::]:3130"], "redirect", None),
    ]  # fmt: skip
    assert rules(made) == [{**ALLOWED, "listener": ["office"]}]
    assert {each["leave_by"][0] for each in made["listen"]} == {"10.0.0.9"}
    assert {"http_port 80", "http_port ssl-bump"} <= told(draft).keys()


def test_settings() -> None:
    """Times and name servers; what is the same by another name is told."""
    made, draft = drafted(
        "allow lan\n+connect_timeout 1 minutes\n+read_timeout 10\n"
        "+request_timeout 1 fortnight\n+dns_nameservers 10.0.0.53 10.0.0.54\n"
        "+cache_mem 8 MB\n+access_log none\n+acl busy maxconn 9\n"
    )
    assert made["timeouts"] == {
        "handshake": "300s", "connect": "60s", "idle": "10s", "lookup": "30s",
    }  # fmt: skip
    assert made["resolver"] == {"servers": ["10.0.0.53", "10.0.0.54"]}
    assert {"request_timeout", "cache_mem", "access_log"} <= told(draft).keys()


def test_logins() -> None:
    """Users of a file, of PAM, of a directory and of Kerberos; no password is shown."""
    made, draft = drafted(
        "allow staff\n+auth_param basic program /x/basic_ncsa_auth /users\n"
        '+auth_param basic realm "our proxy"\n+auth_param basic credentialsttl 2 hours\n'
        "+auth_param basic program /x/basic_pam_auth -n proxy\n"
        "+auth_param basic program /x/basic_ldap_auth -b dc=x -D cn=a -w canary -f u=%s"
        " -Z -H ldap://d -R\n"
        "+auth_param negotiate program /x/negotiate_kerberos_auth -k /k -s HTTP/x\n"
        "+auth_param ntlm program /x/ntlm_auth\n"
    )
    assert made["http"] == {"realm": "our proxy"}
    assert made["auth"]["checkers"] == ["passwd:/users"]
    assert made["auth"]["cache"] == "7200s"
    assert made["auth"]["gssapi"] == {"keytab": "/k"}
    assert made["auth"]["choose"] == [
        {"methods": ["userpass", "gssapi"], "cleartext_passwords": True}
    ]
    pam, ldap = made["auth"]["checker"]
    assert pam == {"kind": "pam", "service": "proxy"}
    assert ldap == {
        "kind": "ldap", "base": "dc=x", "bind_dn": "cn=a", "start_tls": True,
        "bind_password_file": "squid-ldap.secret", "user_filter": "(u={user})",
        "url": ["ldap://d"],
    }  # fmt: skip
    assert draft.secrets == {"squid-ldap.secret": "canary\n"}
    assert "canary" not in "\n".join(draft.lines("x"))
    assert {"auth_param ntlm ntlm_auth", "basic_ldap_auth -R"} <= told(draft).keys()


def test_withoutLogin() -> None:
    """Who may do without one is told by sources; without a checker nobody logs in."""
    made, draft = drafted("allow own\nallow staff\n")
    assert made["auth"]["choose"][0]["from"] == ["10.5.0.0/16"]
    assert "no login of the file is here" in told(draft)["auth_param"]


def test_peers() -> None:
    """Upstreams, where everything is sent on."""
    made, draft = drafted(
        "allow lan\n+cache_peer up.example parent 3128 0 default login=a:canary\n"
        "+cache_peer 10.0.0.9 parent 3128 0 name=second tls login=PASS\n"
        "+cache_peer 10.0.0.8 sibling 3128 3130\n+never_direct allow all\n"
    )
    assert [(each["name"], each["url"]) for each in made["upstream"]] == [
        ("up.example", "http://up.example:3128"), ("second", "https://10.0.0.9:3128"),
    ]  # fmt: skip
    assert made["upstream"][1]["pass_through"] is True
    assert draft.secrets == {"up.example.password": "canary\n"}
    assert rules(made)[0]["via"] == [["up.example", "second"]]
    assert "cache_peer 10.0.0.8" in told(draft)
    made, draft = drafted("allow lan\n+cache_peer up.example parent 3128 0\n")
    assert "upstream" not in made
    assert "cache_peer" in told(draft)


def test_limits() -> None:
    """Pools of delay, and connections of a source."""
    made, draft = drafted(
        "+acl busy maxconn 9\ndeny busy\nallow lan\n+delay_pools 1\n+delay_class 1 3\n"
        "+delay_parameters 1 9000/9000 500/500 100/100\n+delay_access 1 allow lan\n"
    )
    assert made["limit"] == [
        {"per": "all", "rate": "9000B/s"}, {"per": "source", "rate": "100B/s"},
        {"per": "source", "sessions": 9},
    ]  # fmt: skip
    assert wider(draft) == ["delay_parameters 500/500"]
    assert "delay_access 1 allow lan" in told(draft)


def test_expected() -> None:
    """Requests on both sides of each end, as a day at noon decides."""
    made, draft = drafted("deny sites noon\nallow lan web\n")
    said = {each["verdict"] for each in made["expect"]}
    assert said == {"allow", "deny"}
    assert {str(each["at"]) for each in made["expect"]} == {"2026-11-25 12:00:00+01:00"}
    assert wider(draft) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http_access permit all", "line 1: http_access: allow or deny"),
        ("http_access allow nobody", "line 1: http_access: no acl has the name"),
        ("acl a src 10.0.0.1\nacl a port 1", "line 2: acl: a is of the type src"),
        ('acl a src "/none"', "line 1: /none cannot be read"),
        ("http_port x", "line 1: http_port: "),
        ("http_access", "line 1: http_access: "),
    ],
)
def test_unreadable(text: str, why: str) -> None:
    """Squid does not start with these."""
    with pytest.raises(Unreadable, match=f"^{why}"):
        draftOf(text, HOST)
