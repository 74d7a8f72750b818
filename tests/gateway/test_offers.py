"""
Who gets in, for questions that nobody has asked: `socksgw explain` and
`[[expect]]` begin at the entrance.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.testing import MemoryReactorClock

from socksgw.config.loading import loads
from socksgw.console.command import main
from socksgw.gateway.examination import examine
from socksgw.gateway.offers import Offers
from socksgw.negotiate.capabilities import Capabilities
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.policy.document import Compiler
from socksgw.policy.facts import Facts as Asked
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.wire.address import Address
from tests.fakes.policy import Facts
from tests.tools.certificates import Authority, pemOf, server

TEXT = """
[[listen]]
name = "lan"
address = ["10.0.0.2:1080"]
[[listen]]
name = "old"
address = ["127.0.0.1:1081"]
protocols = ["socks4"]
[[listen]]
name = "door"
address = ["127.0.0.1:1082"]
[[listen]]
name = "partners"
address = ["10.0.0.2:1443"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "required"
[auth]
checkers = ["memory:alice:x"]
[auth.tls]
certificate = "gw.pem"
key = "gw.key"
[[auth.choose]]
listener = ["lan"]
from = ["10.0.8.0/24"]
methods = ["none"]
[[auth.choose]]
listener = ["lan"]
from = ["10.0.0.0/16"]
methods = ["userpass"]
cleartext_passwords = true
[[auth.choose]]
listener = ["lan"]
from = ["10.0.9.0/24"]
methods = ["none", "chap"]
[[auth.choose]]
listener = ["partners"]
methods = ["certificate"]
[[auth.choose]]
listener = ["door"]
from = ["127.0.0.1"]
methods = ["tls"]
[[auth.choose]]
listener = ["old"]
from = ["127.0.0.0/8"]
methods = ["userpass", "none"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["anonymous", "users"]
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates are."""
    made = tmp_path_factory.mktemp("offers")
    root = Authority()
    server(root).write(made, "gw")
    (made / "ca.pem").write_bytes(pemOf(root.certificate))
    return made


def unmet(directory: Path, *facts: str, text: str = TEXT) -> list[str]:
    """What is wrong with an expectation of these facts."""
    more = '[[expect]]\nto = "8.8.8.8:80"\n' + "\n".join(facts)
    config = evolve(loads(text + more, "gw.toml"), directory=directory)
    found = examine(config, Facts(), MemoryReactorClock())
    return [each.text for each in found.errors]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        # Who gets in, from where it is said or from somewhere.
        (('who = "alice"', 'from = "10.0.1.7"'), None),
        (('who = "alice"', 'from = "10.0.1.7"', 'listener = "lan"'), None),
        (('who = "alice"', 'method = "userpass"'), None),
        (('who = "alice"',), None),
        ((), None),
        (('from = "10.0.8.9"',), None),
        (('who = "bob"', 'listener = "partners"', 'from = "8.8.4.4"'), None),
        (('who = "bob"', 'method = "certificate"', 'secured = "confidentiality"'), None),
        (('listener = "old"', 'from = "127.0.0.1"'), None),
        # A source that no entry is for; one that a listener is not for.
        (('who = "alice"', 'from = "192.168.0.1"', 'listener = "lan"'), "no [[auth.choose]] is for"),
        (('from = "10.0.1.7"',), "nobody gets in without a login"),
        (('who = "alice"', 'from = "10.0.8.9"', 'listener = "lan"'), "nobody gets in as alice"),
        # A method that is offered nowhere, or not there, or not to them.
        (('who = "alice"', 'method = "gssapi"'), 'by "gssapi"'),
        (('who = "alice"', 'method = "certificate"', 'listener = "lan"'), 'by "certificate"'),
        (('method = "none"', 'listener = "partners"'), "with a client certificate"),
        # What an earlier entry takes is left to no later one.
        (('who = "alice"', 'method = "chap"'), 'by "chap"'),
        (('from = "10.0.9.9"', 'method = "none"'), 'by "none"'),
        # SOCKS 4 has no login.
        (('who = "alice"', 'listener = "old"'), "nobody gets in as alice"),
        # The client's side as it is on that listener.
        (('who = "alice"', 'from = "10.0.1.7"', 'secured = "confidentiality"', 'listener = "lan"'), ", confidentiality:"),
        (('who = "bob"', 'listener = "partners"', 'secured = "clear"'), ", clear:"),
        # Beside TLS datagrams are clear.
        (('who = "bob"', 'listener = "partners"', 'command = "udp"', 'secured = "confidentiality"'), ", confidentiality:"),
        # TLS inside SOCKS: the login inside has the name.
        (('who = "alice"', 'listener = "door"', 'method = "tls"'), 'by "tls"'),
        (('who = "alice"', 'listener = "door"', 'method = "userpass"', 'secured = "confidentiality"'), None),
    ],
)  # fmt: skip
def test_whoGetsIn(directory: Path, facts: tuple[str, ...], said: str | None) -> None:
    """An allow is expected in vain of whoever does not get in."""
    found = unmet(directory, *facts, 'verdict = "allow"')
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]
    # The other way round: that nobody does is a verdict, too.
    turned = unmet(directory, *facts, 'verdict = "deny"', 'rule = "auth.choose"')
    assert bool(turned) == (said is None)


def test_aDenyOfTheRulesMayBeExpectedOfThemToo(directory: Path) -> None:
    """Whoever does not get in is denied, by the entrance and perhaps by a rule."""
    facts = ('from = "192.168.0.1"', 'listener = "lan"', 'verdict = "deny"')
    assert unmet(directory, *facts) == []
    assert unmet(directory, *facts, 'rule = "auth.choose"') == []
    (said,) = unmet(directory, *facts, 'rule = "default"')
    assert 'it is allow by rule "all"' in said
    closed = TEXT.replace('who = ["anonymous", "users"]', 'who = ["users"]')
    assert unmet(directory, *facts, 'rule = "default"', text=closed) == []


def test_whatFollowsFromTheOnlyWayIn(directory: Path) -> None:
    """A method, listener or level that only one way leaves is known."""
    facts = ('who = "alice"', 'from = "10.0.1.7"', 'verdict = "allow"')
    for condition, fact in (
        ('method = ["userpass"]', 'listener = "lan"'),
        ('secured = "clear"', 'listener = "lan"'),
        ('listener = ["lan"]', 'method = "userpass"'),
    ):
        text = TEXT.replace('who = ["anonymous", "users"]', condition)
        assert unmet(directory, *facts, fact, text=text) == []
        # Partners come from everywhere, by another method.
        assert any("give it" in said for said in unmet(directory, *facts, text=text))


@pytest.mark.parametrize(
    ("command", "more", "word"),
    [
        ("connect", "", "confidentiality"),
        ("udp", "", "clear"),
        ("udp", "[listen.udp]\ntunnels = ['hev']\n", None),
        ("udp", "protocols = ['socks6']\n", "confidentiality"),
        ("udp", "protocols = ['socks5', 'socks6']\n", None),
        ("multicast", "[listen.multicast]\ninterface = 'lo'\n", None),
        (
            "multicast",
            "[listen.multicast]\ninterface = 'lo'\ntunnels = false\n",
            "clear",
        ),
    ],
)
def test_datagramsOfTLS(
    directory: Path, command: str, more: str, word: str | None
) -> None:
    """They are as their way is, which a client may choose; check tells of a rule."""
    text = TEXT.replace("[listen.tls]", more + "[listen.tls]")
    rule = f'[[rule]]\nid = "s"\nallow = ["{command}"]\nlistener = ["partners"]\n'
    rule += 'secured = "confidentiality"\n'
    config = evolve(loads(text + rule, "gw.toml"), directory=directory)
    found = examine(config, Facts(), MemoryReactorClock())
    assert found.errors == []
    for level in ("clear", "confidentiality"):
        asked = Asked(
            "bob", frozenset(), command, None, 53, listener="partners", secured=level
        )
        assert (found.offers.refusal(asked) is None) is (word in (None, level))
    assert found.offers.levels({"partners"}, {command}) == {word}
    warned = any("do datagrams go inside" in each.text for each in found.warnings)
    assert warned is (word == "clear")


def test_nobodyBySeveralMethods(tmp_path: Path) -> None:
    """Where two methods let in without a login, a rule may tell them apart."""

    class Guest:
        name, code, help = "guest", 0x80, "for the test"

    can = Capabilities(anonymous=True, cleartext=False, credentials=())
    methods = [
        OfferedMethod(x, 0, Guest(), capabilities=can) for x in ("none", "guest")
    ]
    text = """
    listen = [{ name = "lan", address = ["127.0.0.1:0"] }]
    rule = [{ id = "r", allow = ["connect"], method = ["guest"] }]
    """
    config = loads(text, "gw.toml")
    rules = Compiler(config, Facts()).compile().ruleset
    facts = Asked(
        "anonymous", frozenset(), "connect", None, 80, (Address.parse("8.8.8.8"),)
    )
    for offered, expected in (
        (methods, None),
        (methods[:1], False),
        (methods[1:], True),
    ):
        offers = Offers(config, [Choice(offered, None, None)], [None], [], [])
        if expected is None:
            with pytest.raises(Missing, match="method"):
                consider(rules, offers.known(facts))
        else:
            verdict = consider(rules, offers.known(facts)).verdict
            assert verdict.allowed is expected


def explained(file: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        status = main(["explain", "--config", str(file), *arguments])
    return status, out.getvalue(), errors.getvalue()


def test_explain(directory: Path) -> None:
    """The way in, or why there is none, is part of the answer."""
    file = directory / "gw.toml"
    file.write_text(TEXT)
    alice = ("--user", "alice", "--from", "10.0.1.7")
    status, said, _ = explained(file, *alice, "connect", "8.8.8.8:80")
    assert status == 0
    assert 'comes in by "userpass" on "lan" (auth.choose[2])' in said
    status, said, _ = explained(file, "--from", "10.0.1.7", "connect", "8.8.8.8:80")
    assert status == 1
    assert 'deny by rule "auth.choose": nobody gets in without a login' in said
    assert 'are offered "userpass" on "lan"' in said
    status, said, _ = explained(
        file,
        "--json",
        "--listener",
        "partners",
        "--user",
        "bob",
        "connect",
        "8.8.8.8:80",
    )
    assert json.loads(said)["ways_in"] == [
        {
            "listener": "partners",
            "method": "certificate",
            "entry": "auth.choose[4]",
            "client_certificate": True,
        }
    ]


def test_aFileThatCheckRefusesIsNotExplainedSilently(directory: Path) -> None:
    """It is answered, with what is wrong, and as nothing that any gateway does."""
    file = directory / "wrong.toml"
    more = '[[expect]]\nto = "8.8.8.8:80"\nverdict = "deny"\n'
    file.write_text(TEXT.replace("memory:alice:x", "passwd:nowhere") + more)
    alice = ("--user", "alice", "--from", "10.0.1.7")
    status, said, errors = explained(file, *alice, "connect", "8.8.8.8:80")
    assert status == 2
    assert 'allow by rule "all"' in said
    assert "auth.checkers[1]: " in errors
    assert "no gateway starts with it" in errors
    file.write_text(TEXT.replace('allow = ["connect"]', 'allow = "everything"'))
    assert explained(file, *alice, "connect", "8.8.8.8:80")[:2] == (2, "")


PEER = """
[[listen]]
name = "local"
address = ["unix:/run/x"]
[[listen]]
name = "every"
address = ["0.0.0.0:1080"]
[auth]
checkers = ["memory:alice:x"]
[[auth.choose]]
methods = ["peer", "chap"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["users"]
"""


@pytest.mark.parametrize(
    ("facts", "gets"),
    [
        (('who = "uid:build"', 'listener = "local"'), True),
        (('who = "uid:build"', 'listener = "every"'), True),
        (('who = "uid:build"', 'listener = "every"', 'from = "127.0.0.1"'), True),
        # No other host's program is known, and nobody else is called so.
        (('who = "uid:build"', 'listener = "every"', 'from = "10.0.0.1"'), False),
        (('who = "uid:build"', 'method = "chap"'), False),
        (('who = "alice"', 'listener = "local"', 'method = "peer"'), False),
        (('who = "alice"', 'listener = "local"', 'method = "chap"'), True),
    ],
)
def test_usersOfThisMachine(tmp_path: Path, facts: tuple[str, ...], gets: bool) -> None:
    """They come in by the method that asks the kernel, and nobody else does."""
    found = unmet(
        tmp_path, *facts, f'verdict = "{"allow" if gets else "deny"}"',
        "" if gets else 'rule = "auth.choose"', text=PEER,
    )  # fmt: skip
    assert [each for each in found if "no checker" not in each] == []
