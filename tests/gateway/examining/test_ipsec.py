"""
C{ipsec_mark}: what goes with it, and the rules of the firewall.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.ipsec import examineIPsec
from socksgw.gateway.examining.problems import Problems
from tests.tools.examining import examined, wrong

LISTEN = """
[[listen]]
name = "lan"
address = ["127.0.0.1:1080"]
ipsec_mark = {}
"""
LOADED = "ipsec_ruleset = true\n"
POLICY = """
[[auth.choose]]
from = ["10.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "guarded"
allow = ["connect"]
secured = "ipsec"
"""


def said(text: str, path: str) -> str:
    """The errors of a key."""
    found = wrong(loads(text, "gw.toml"))
    return "; ".join(why for where, why in found if where == path)


def test_unacknowledged() -> None:
    """Without the firewall's rules a mark is not believed; check prints them."""
    config = loads(LISTEN.format("0x1000000") + POLICY, "gw.toml")
    found = examined(config)
    (error,) = found.errors
    assert error.path == "listen[0].ipsec_mark"
    assert "client-config ipsec" in error.text
    printed = "\n".join(found.lines(config, "cannot be used"))
    assert "tcp dport { 1080 } ct mark and 0x1000000 != 0 meta ipsec missing drop" in (
        printed
    )
    assert "sysctl net.ipv4.tcp_fwmark_accept=1" in printed


def test_acknowledged(tmp_path: Path) -> None:
    config = loads(LISTEN.format("0x1000000") + LOADED + POLICY, "gw.toml")
    assert examined(config).errors == []
    for text, warnings in (("0\n", 1), ("1\n", 0)):
        (tmp_path / "accepts").write_text(text)
        problems = Problems()
        examineIPsec(config, problems, tmp_path / "accepts")
        assert len(problems.warnings) == warnings
    examineIPsec(config, problems := Problems(), tmp_path / "nowhere")
    assert problems.warnings == []


@pytest.mark.parametrize("mark", ["3", "0x100000000", "-1"])
def test_oneBit(mark: str) -> None:
    """More bits, or none of a mark's 32, tell nothing."""
    text = LISTEN.format(mark) + LOADED + POLICY
    assert "one bit" in said(text, "listen[0].ipsec_mark")


@pytest.mark.parametrize(
    ("listen", "remedy"),
    [
        (
            'address = ["127.0.0.1:1080"]\nproxy_protocol_from = ["10.0.0.5"]',
            "balancer",
        ),
        ('address = ["127.0.0.1:1080"]\ntransparent = "tproxy"', "tproxy"),
        ('endpoint = "tcp:1080:interface=127.0.0.1"', "address with a port"),
        ('address = ["unix:/run/gw.sock"]', "address with a port"),
        ('address = ["127.0.0.1:0"]', "address with a port"),
    ],
)
def test_beside(listen: str, remedy: str) -> None:
    """What tells nothing of the client, or has no port, does not go with it."""
    text = f'[[listen]]\nname = "lan"\n{listen}\nipsec_mark = 1\n{LOADED}{POLICY}'
    assert remedy in said(text, "listen[0].ipsec_mark")


def test_withoutAMark() -> None:
    """What has no effect is an error; a rule that cannot match is a warning."""
    listen = '[[listen]]\nname = "lan"\naddress = ["127.0.0.1:1080"]\n'
    text = listen + LOADED + POLICY
    assert "no effect" in said(text, "listen[0].ipsec_ruleset")
    found = examined(loads(listen + POLICY, "gw.toml"))
    assert [each.path for each in found.warnings] == ["rule[0].secured"]


def test_TLSInside() -> None:
    """A rule for TLS or IPsec covers TLS inside IPsec; expectations say it."""
    expect = """
[[expect]]
who = "anonymous"
from = "10.0.0.1"
command = "connect"
to = "93.184.216.34:443"
secured = "{}"
verdict = "{}"
"""
    told = (("ipsec", "allow"), ("confidentiality+ipsec", "allow"), ("clear", "deny"))
    text = LISTEN.format("0x1000000") + LOADED + POLICY
    text += "".join(expect.format(*each) for each in told)
    assert examined(loads(text, "gw.toml")).errors == []
