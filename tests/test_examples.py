"""
The configurations in C{etc/examples}: good as they stand, and their tests of
the policy are tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve

from socksgw.config.loading import loads
from socksgw.config.schema import Rule
from socksgw.gateway.host import HostAddresses
from socksgw.login.passwords import setPassword
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet
from tests.live.running import ROOT, socksgw
from tests.tools.certificates import Authority, dns, pemOf, server

EXAMPLES = sorted((ROOT / "etc" / "examples").glob("*.toml"))


def prepared(directory: Path) -> None:
    """What the examples name: throw-away certificates, users and secrets."""
    authority = Authority()
    server(authority).write(directory, "gw")
    for name in ("partners.pem", "corp-ca.pem"):
        (directory / name).write_bytes(pemOf(authority.certificate))
    (directory / "partners.crl").write_bytes(
        authority.revoke(authority.issue(dns("gone.acme.example")).chain[0])
    )
    secret = directory / "ad-password"
    secret.touch(0o600)
    secret.write_text("canary-41c0\n")
    for user in ("nms", "alice", "bob", "runner"):
        setPassword(directory / "users", user, b"x")


def test_thereAreFive() -> None:
    """
    A company's way out, a partner extranet, a lab's hop, sandboxes on one machine,
    machines without proxy.
    """
    names = ["egress", "extranet", "lab-snmp", "sandboxes", "transparent"]
    assert [path.stem for path in EXAMPLES] == names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_check(example: Path, tmp_path: Path) -> None:
    """Neither error nor warning, with the files that it names beside it."""
    prepared(tmp_path)
    (tmp_path / example.name).write_text(example.read_text())
    checked = socksgw("check", "--strict", example.name, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "canary" not in checked.stdout
    exposed = checked.stdout.partition("exposed without login:")[2]
    if example.stem == "egress":
        assert re.findall(r'by rule "(.*?)"', exposed) == ["packages"]
    elif example.stem == "transparent":
        # Nobody can log in there; "poll" is for UDP, which redirect has none of.
        rules = ["look-ups", "toner", "look-ups", "toner", "poll"]
        assert re.findall(r'by rule "(.*?)"', exposed) == rules
    else:
        assert exposed.strip() == "nothing"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_expectationsAreTests(example: Path) -> None:
    """
    Every rule decides some expectation, and none can be taken away, or turned
    round, without one that fails.
    """
    config = loads(example.read_text(), example.name, example.parent)
    deciding = {expect.rule for expect in config.expect}
    enforced = [rule for rule in config.rule if not rule.report_only]
    assert {rule.id for rule in enforced} | {"default"} <= deciding

    def fails(rules: tuple[Rule, ...]) -> bool:
        changed = evolve(config, rule=rules)
        compiled = Compiler(changed, HostAddresses.of(changed)).compile()
        return bool(list(unmet(changed, compiled.ruleset)))

    assert not fails(config.rule)
    for rule in enforced:
        rest = tuple(each for each in config.rule if each is not rule)
        assert fails(rest), f"nothing misses {rule.id}"
        turned = evolve(rule, allow=rule.deny, deny=rule.allow)
        assert fails(tuple(turned if x is rule else x for x in config.rule)), rule.id
