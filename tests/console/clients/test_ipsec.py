"""
The firewall's rules for C{ipsec_mark}: valid by nft itself.
"""

from __future__ import annotations

import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.console.clients import ipsec
from tests.live.servers import program

LISTEN = (
    '[[listen]]\nname = "{}"\naddress = {}\nipsec_mark = {}\nipsec_ruleset = true\n'
)
TEXT = (
    LISTEN.format("lan", '["10.0.0.2:1080", "[::1]:1081"]', "0x1000000")
    + LISTEN.format("more", '["10.0.0.3:1080"]', "0x1000000")
    + LISTEN.format("other", '["10.0.0.4:1090"]', "0x2000000")
)


def printed(*interfaces: str, text: str = TEXT) -> str:
    options = Namespace(interface=list(interfaces))
    return "\n".join(ipsec.lines(loads(text, "gw.toml"), options)) + "\n"


def test_valid(tmp_path: Path) -> None:
    """By nft -c, by the kernel's IPsec and by interfaces; loaded twice, then unloaded."""
    nft = program("nft", "nftables")
    unshare = [program("unshare", "util-linux"), "-rn"]
    for interfaces in ((), ("ipsec0", "vti.7@x")):
        (tmp_path / "rules").write_text(printed(*interfaces))
        for command in (
            f"{nft} -c -f rules",
            f"{nft} -f rules && {nft} -f rules && "
            f'{nft} delete table inet socksgw_ipsec && test -z "$({nft} list ruleset)"',
        ):
            done = subprocess.run(
                [*unshare, "sh", "-c", command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (interfaces, done.stderr)


def test_ports() -> None:
    """Listeners with the same bit share the rules."""
    rules = printed()
    assert rules.count(" drop\n") == 2
    assert "tcp dport { 1080, 1081 } meta ipsec exists" in rules
    assert (
        "tcp dport { 1090 } meta ipsec exists ct mark set ct mark or 0x2000000" in rules
    )


def test_wrong() -> None:
    listen = '[[listen]]\nname = "lan"\naddress = ["10.0.0.2:1080"]\n'
    with pytest.raises(ValueError, match="no listener with ipsec_mark"):
        printed(text=listen)
    with pytest.raises(ValueError, match="not the name of an interface"):
        printed('ipsec0" accept')
