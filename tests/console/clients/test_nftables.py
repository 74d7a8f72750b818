"""
Rules for nftables: valid by nft itself, and those of the examples are what is printed.
"""

from __future__ import annotations

import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.console.clients import nftables
from tests.live.running import ROOT, socksgw
from tests.live.servers import missing, program

LISTEN = '[[listen]]\nname = "{}"\naddress = {}\ntransparent = "{}"\n'
CASES = {
    "redirect": ('["0.0.0.0:1088", "[::]:1088"]', "redirect"),
    "redirect to an address": ('["10.0.0.1:1088", "[2001:db8::1]:1088"]', "redirect"),
    "programs of this host": ('["127.0.0.1:1088", "[::1]:1088"]', "redirect"),
    "tproxy": ('["127.0.0.1:1089", "[::1]:1089"]', "tproxy"),
    "tproxy to every address": ('["0.0.0.0:1089", "[::]:1089"]', "tproxy"),
    "one family": ('["[::1]:1089"]', "tproxy"),
}


def printed(case: str, *interfaces: str, user: str = "65534", name: str = "lan") -> str:
    config = loads(LISTEN.format(name, *CASES[case]), "gw.toml")
    options = Namespace(listener=None, interface=list(interfaces), user=user)
    return "\n".join(nftables.lines(config, options)) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_valid(case: str, tmp_path: Path) -> None:
    """By nft -c, with one interface and with several; loaded twice, then unloaded."""
    nft = program("nft", "nftables")
    unshare = [program("unshare", "util-linux"), "-rn"]
    for interfaces in ((), ("eth1", "vlan.7@x")):
        (tmp_path / "rules").write_text(printed(case, *interfaces, name="lan-7 é"))
        for command in (
            f"{nft} -c -f rules",
            f"{nft} -f rules && {nft} -f rules && "
            f"{nft} delete table inet socksgw_lan_7__ && "
            f'test -z "$({nft} list ruleset)"',
        ):
            done = subprocess.run(
                [*unshare, "sh", "-c", command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            if "unshare" in done.stderr:
                missing("leave to make a network namespace")
            assert (done.returncode, done.stderr) == (0, "")


def test_chains() -> None:
    """Where clients come in, or where this host's programs go out."""
    for case in CASES:
        text = printed(case)
        local = case == "programs of this host"
        assert ("hook output" in text) is local
        assert ("meta skuid 65534 return" in text) is local
        assert ("iifname != $clients return" in text) is not local
        # No destination of this host, such as the gateway's own listeners.
        assert "fib daddr type { local, broadcast, multicast } return" in text
    assert "redirect to :1088" in printed("redirect")
    assert "dnat ip6 to [2001:db8::1]:1088" in printed("redirect to an address")
    assert "tproxy ip to 127.0.0.1:1089" in printed("tproxy")
    assert "tproxy ip6 to :1089" in printed("tproxy to every address")


def test_routes() -> None:
    """For the families and interfaces that there are, always with iif; and undone."""
    text = printed("one family", "eth1", "eth2")
    loading, unloading = text.split("# Unload")
    for word, part in (("add", loading), ("del", unloading)):
        for interface in ("eth1", "eth2"):
            rule = f"ip -6 rule {word} iif {interface} fwmark 0x1080 lookup 1080"
            assert rule in part
        assert f"ip -6 route {word} local default dev lo table 1080" in part
        assert f"ip rule {word}" not in part
    assert "ip rule" not in printed("redirect")


def test_users() -> None:
    """By number where it is known, by name where nft will have to find it."""
    case = "programs of this host"
    assert "skuid 0 " in printed(case, user="root")
    assert 'skuid "socksgw-not-here" ' in printed(case, user="socksgw-not-here")


@pytest.mark.parametrize("listener", ["redirect", "tproxy"])
def test_theExamples(listener: str) -> None:
    """etc/transparent-*.nft are printed for etc/examples/transparent.toml."""
    done = socksgw(
        *("client-config", "nftables", "--config", "transparent.toml"),
        *("--listener", listener, "--interface", "eth1"),
        cwd=ROOT / "etc" / "examples",
    )
    assert done.returncode == 0, done.stderr
    assert (ROOT / "etc" / f"transparent-{listener}.nft").read_text() == done.stdout
