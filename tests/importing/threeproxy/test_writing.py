"""
What is written of a 3proxy server's file.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.threeproxy.writing import draftOf

HOST = Host(lambda _: (), lambda _: None, lambda _: None, zone="Europe/Berlin")


def drafted(text: str) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    draft = draftOf(text, HOST)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def told(draft: Draft) -> dict[str, str]:
    """What is not the same, by what is said."""
    return {each.said: each.why for each in draft.left}


def wider(draft: Draft) -> list[str]:
    """What would allow more."""
    return [each.said for each in draft.left if each.wider]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("allow *", {"allow": ["connect", "bind", "udp"]}),
        (
            "deny * 10.0.0.0/8 10.1.0.0/16,x.y,*.z 25,80-90 CONNECT",
            {
                "deny": ["connect"], "from": ["10.0.0.0/8"], "ports": [25, "80-90"],
                "to": ["10.1.0.0/16", "=x.y", "*.z"],
            },
        ),
        (
            "allow * * *.z * UDPASSOC 1-5,0 08:00:00-18:00:00,20:00:00-24:00:00",
            {
                "allow": ["udp"], "to": ["*.z"], "resolving_to": ["any"],
                "during": ["line-1-1", "line-1-2"],
            },
        ),
    ],
)  # fmt: skip
def test_rules(rule: str, expected: dict[str, Any]) -> None:
    """Each condition has its field."""
    made, draft = drafted(f"{rule}\ninternal 10.0.0.1\nsocks\n")
    assert made["rule"] == [{"id": "line-1", **expected}]
    assert wider(draft) == []
    if "during" in expected:
        assert made["schedules"]["line-1-2"] == {
            "zone": "Europe/Berlin", "hours": "20:00-24:00",
            "days": ["sun", "mon", "tue", "wed", "thu", "fri"],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "service", "said"),
    [
        ("deny * * bad*\nallow *", "socks", "deny bad*"),
        ("deny * * *bad*\nallow *", "socks", "deny *bad*"),
        ("deny * * *bad.example\nallow *", "socks", "deny *bad.example"),
        ("allow * * * 443 HTTPS", "proxy", "allow HTTP_CONNECT"),
        ("deny * * * * HTTP_POST\nallow *", "proxy", "deny HTTP_POST"),
        ("allow *\nbandlimin 8000 bob", "socks", "bandlimin"),
        ("allow *\nconnlim 10 7200 *", "socks", "connlim"),
        ("allow *\nconnlim 10 60 * * 10.0.0.0/8", "socks", "connlim"),
        ("allow *\nconnlim 100 1\nconnlim 5 60", "socks", "connlim"),
        ("allow *\ncountall 1 D 9\ncountin 1 H 1", "socks", "countin"),
        (
            "allow * * 10.0.0.0/8\nallow * * * 443\nconnlim 3 0 * * * 443",
            "socks",
            "limits",
        ),
        ("allow *\ncountall 1 M 100 *", "socks", "countall"),
        ("ssl_server_verify\nallow *", "socks", "ssl_server_verify"),
    ],
)
def test_wider(rules: str, service: str, said: str) -> None:
    """What keeps somebody out there, and nobody here, is marked."""
    _, draft = drafted(f"auth iponly\n{rules}\n{service}\n")
    assert wider(draft) == [said]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("allow * * bad*", "allow bad*"),
        ("allow bob", "allow bob"),
        ("allow * * * * FTP_GET", "allow FTP_GET"),
        ("allow *\nparent 1000 tcp 10.0.0.9 80", "parent of line 2"),
        ("allow *\nparent 1000 http 0.0.0.0 0", "parent of line 2"),
        ("redirect 10.0.0.9 80 *", "parent of line 2"),
    ],
)
def test_narrower(rules: str, said: str) -> None:
    """What cannot be kept lets nobody through."""
    made, draft = drafted(f"auth iponly\n{rules}\nsocks\n")
    assert said in told(draft)
    assert not any("allow" in each for each in made.get("rule", []))
    assert wider(draft) == []


def test_services() -> None:
    """Each has the rules, the login and the addresses of its place in the file."""
    made, draft = drafted(
        "external 10.0.0.9\nauth iponly\nallow * 10.0.0.0/8\ninternal 10.0.0.1\n"
        "socks -p1081\nauto -i10.0.0.2\nflush\nauth strong\nusers a:CL:b\n"
        "allow a\nproxy -e10.0.0.8\nadmin\npop3p\nauth useronly\nsocks -p1082\n"
    )
    assert [
        (each["name"], each["address"], each["protocols"], each["leave_by"])
        for each in made["listen"]
    ] == [
        ("lan", ["10.0.0.1:1081"], ["socks5", "socks4"], ["10.0.0.9"]),
        ("lan-2", ["10.0.0.2:8080"], ["socks5", "socks4", "http"], ["10.0.0.9"]),
        ("http", ["10.0.0.1:3128"], ["http"], ["10.0.0.8"]),
    ]
    assert [(each["listener"], each["methods"]) for each in made["auth"]["choose"]] == [
        (["lan"], ["none"]), (["lan-2"], ["none"]), (["http"], ["userpass"]),
    ]  # fmt: skip
    assert [(each["id"], each["listener"]) for each in made["rule"]] == [
        ("line-3-1", ["lan"]), ("line-3-2", ["lan-2"]), ("line-10-3", ["http"]),
    ]  # fmt: skip
    assert {"admin", "pop3p", "socks", "auth useronly"} <= told(draft).keys()
    assert made["limit"] == [{"per": "listener", "sessions": 100}]


def test_users() -> None:
    """Passwords become hashes in a file of their own, and are never shown."""
    made, draft = drafted(
        "auth strong\nusers alice:CL:canary-1 eve:canary-2 bob:NT:canary-3\n"
        'users "carol:CR:$1$x$canary-4" canary-5 "@x:CL:canary-6"\nallow *\nsocks\n'
    )
    assert made["auth"]["checkers"] == ["passwd:3proxy.users"]
    lines = draft.secrets["3proxy.users"].splitlines()
    assert [each.partition("$")[0] for each in lines] == ["alice:", "eve:"]
    shown = "\n".join(draft.lines("x")) + str(draft.left) + str(draft.secrets)
    assert "canary" not in shown
    assert {"users bob", "users carol", "users"} <= told(draft).keys()


def test_parents() -> None:
    """Places of a chain, of which one is chosen by chance; passwords apart."""
    made, draft = drafted(
        "auth iponly\nallow *\nparent 500 socks5+ 10.1.0.1 1080 up canary\n"
        "parent 500 connect 10.1.0.2 3128\nparent 1000 socks5s 10.1.0.3 1080 *\n"
        "allow * * * 80\nparent 1000 extip 10.0.0.7 0\nallow * * * 81\n"
        "parent 1000 ha 0.0.0.0 0\nsocks\n"
    )
    assert [each["url"] for each in made["upstream"]] == [
        "socks5://10.1.0.1:1080", "http://10.1.0.2:3128", "socks5+tls://10.1.0.3:1080",
    ]  # fmt: skip
    assert made["upstream"][0]["login"]["password_file"] == "parent-3.password"
    assert draft.secrets == {"parent-3.password": "canary\n"}
    assert made["upstream"][2]["pass_through"] is True
    denied, chained, leaving, headed = made["rule"]
    assert (denied["id"], denied["deny"]) == ("line-2-udp", ["udp"])
    assert chained["via"] == [["parent-3", "parent-4"], ["parent-5"]]
    assert (chained["allow"], chained["balance"]) == (["connect"], "random")
    assert (leaving["leave_by"], headed["proxy_header"]) == (["10.0.0.7"], "v1")
    assert "canary" not in "\n".join(draft.lines("x"))


def test_limits() -> None:
    """For all, for what a rule allows, and for each listener."""
    made, draft = drafted(
        "auth iponly\nallow * * * 443\nallow *\nmaxconn 30\n"
        "bandlimin 80000 *\nbandlimout 160000\nconnlim 4 0 * * * 443\n"
        "countall 1 D 5 * * * 443\nsocks\n"
    )
    assert wider(draft) == []
    assert made["limit"] == [
        {"per": "all", "rate": "10000B/s"}, {"per": "listener", "sessions": 30},
    ]  # fmt: skip
    assert [each.get("limits") for each in made["rule"]] == [
        {"per": "rule", "sessions": 4, "quota": "5MB/1d"}, None,
    ]  # fmt: skip


def test_limitsForSome() -> None:
    """Those of users and of sources, without a rule of that; any period to an hour."""
    made, draft = drafted(
        "auth strong\nusers bob:CL:x\nallow *\nconnlim 10 60 bob\n"
        "bandlimin 8000 * 10.0.0.0/8,192.0.2.0/24\nconnlim 3 1 *\nsocks\n"
    )
    assert wider(draft) == []
    assert made["limit"][:3] == [
        {"per": "all", "who": ["bob"], "new_sessions": "10/60s"},
        {"per": "all", "from": ["10.0.0.0/8", "192.0.2.0/24"], "rate": "1000B/s"},
        {"per": "all", "new_sessions": 3},
    ]  # fmt: skip


def test_limitsOfSomeRules() -> None:
    """A user's limit counts all that the user does, by whichever rule."""
    made, draft = drafted(
        "auth strong\nusers bob:CL:x\nallow * 10.0.0.0/8\nallow bob\n"
        "connlim 4 0 bob\nsocks\n"
    )
    assert wider(draft) == []
    assert made["limit"][0] == {"per": "all", "who": ["bob"], "sessions": 4}
    assert not any("limits" in each for each in made["rule"])


def test_limitsWithoutLogin() -> None:
    """C{-} is who has not logged in, and not somebody of that name."""
    made, draft = drafted("auth iponly\nallow *\nconnlim 5 60 -\nsocks\n")
    assert wider(draft) == []
    assert made["limit"][0]["who"] == ["anonymous"]


def test_smallestLimit() -> None:
    """Of several limits of the same clients the smallest one holds."""
    made, draft = drafted(
        "auth iponly\nallow *\nconnlim 9 60\nconnlim 10 60\nconnlim 3 0\n"
        "connlim 2 0\ncountin 1 D 100 *\ncountout 1 D 50 *\nsocks\n"
    )
    assert wider(draft) == []
    assert made["limit"][0] == {
        "per": "all", "new_sessions": "9/60s", "sessions": 2, "quota": "50MB/1d",
    }  # fmt: skip


def test_noneAndHidden() -> None:
    """With C{auth none} no rule counts; names that lead nowhere are denied."""
    made, draft = drafted("nsrecord bad.example 0.0.0.0\nauth none\ndeny *\nsocks\n")
    assert made["rule"] == [
        {"id": "line-1", "deny": "any", "to": ["=bad.example"]},
        {"id": "line-4", "allow": "any"},
    ]
    assert "anybody may use it" in told(draft)["socks"]


@pytest.mark.parametrize(
    "text",
    [
        "shout",
        "parent 1000 tcp 1.2.3.4 1",
        "auth magic",
        "socks -X",
        "auth iponly\nallow * x",
    ],
)
def test_unreadable(text: str) -> None:
    """3proxy does not start with these."""
    with pytest.raises(Unreadable, match=r"^line \d: "):
        drafted(text)
