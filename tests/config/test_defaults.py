"""
What applies without a file, and what the command line makes of it.
"""

from __future__ import annotations

import pytest

from socksgw.config.defaults import defaultConfig, listeningOn, withoutCheckers
from socksgw.config.loading import loads
from tests.tools.examining import LISTEN, examined, wrong


def test_theDefaultIsTheContracts() -> None:
    """
    127.0.0.1:1080 and [::1]:1080, no login for clients of this machine, the
    built-in never, deny private, then allow CONNECT (and UDP) to everywhere
    else; the journal in ./var/.
    """
    config = defaultConfig()
    (listen,) = config.listen
    assert listen.address == ("127.0.0.1:1080", "[::1]:1080")
    (choose,) = config.auth.choose
    assert (choose.methods, set(choose.from_ or ())) == (
        ("none",),
        {"127.0.0.0/8", "::1"},
    )
    private, rest = config.rule
    assert (private.deny, private.to) == ("any", ("private",))
    assert (rest.allow, rest.to) == (("connect", "udp"), None)
    assert (config.never.to, config.never.except_) == (None, ())
    assert config.gateway.state_dir == "var"
    found = examined(config)
    assert (found.errors, found.warnings) == ([], [])


def test_listeningElsewhereKeepsTheNames() -> None:
    """
    The first endpoint takes the place of the file's first listener, so that
    rules go on to mean what they meant; rules may name those left out.
    """
    config = loads(
        LISTEN
        + '[[listen]]\nname = "second"\naddress = ["127.0.0.1:2"]\nhalf_open = 7\n'
        + '[[rule]]\nid = "r"\nallow = "any"\nlistener = ["second"]\n',
        "gw.toml",
    )
    one = listeningOn(config, ["127.0.0.1:9"])
    assert [(x.name, x.address, x.endpoint) for x in one.listen] == [
        ("main", ("127.0.0.1:9",), "")
    ]
    assert examined(one).errors == []
    three = listeningOn(config, ["tcp:9", "[::1]:8", "127.0.0.1:7"])
    assert [(x.name, x.address, x.endpoint) for x in three.listen] == [
        ("main", (), "tcp:9"),
        ("second", ("[::1]:8",), ""),
        ("listen-3", ("127.0.0.1:7",), ""),
    ]
    assert three.listen[1].half_open == 7


def test_listeningElsewhereCanExpose() -> None:
    """`--listen` on a routable address is examined like the file's."""
    config = loads(
        LISTEN
        + '[[auth.choose]]\nmethods = ["none"]\n[[rule]]\nid = "r"\nallow = "any"\n',
        "gw.toml",
    )
    assert examined(config).errors == []
    assert [e.path for e in examined(listeningOn(config, ["0.0.0.0:1"])).errors] == [
        "listen[0]"
    ]
    # The default names its clients, so it is no relay for strangers.
    assert examined(listeningOn(defaultConfig(), ["0.0.0.0:1"])).errors == []


def test_checkersOfTheCommandLine() -> None:
    """
    `--auth` replaces the file's checkers and, without a file, offers userpass
    to every source.
    """
    config = withoutCheckers(loads(f'auth={{checkers=["passwd:x"]}}\n{LISTEN}', "f"))
    assert config.auth.checkers == ()
    assert config.auth.choose == ()
    (choose,) = withoutCheckers(defaultConfig()).auth.choose
    assert (choose.methods, choose.from_, choose.listener) == (
        ("userpass",),
        None,
        None,
    )


@pytest.mark.parametrize("where", ["0.0.0.0:1080", "tcp:1080", "[::]:1080"])
def test_passwordsInTheClearOfTheCommandLine(where: str) -> None:
    """
    `--auth` alone does not accept that passwords cross a network: the remedy
    is an option, since there is no file. Loopback needs none.
    """
    config = listeningOn(withoutCheckers(defaultConfig()), [where])
    ((path, said),) = wrong(config)
    assert path == "--auth"
    assert "say --cleartext-passwords to accept that" in said
    accepted = withoutCheckers(defaultConfig(), cleartext=True)
    assert wrong(listeningOn(accepted, [where])) == []
    assert wrong(withoutCheckers(defaultConfig())) == []
