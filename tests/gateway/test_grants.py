"""
Grants: two people, a clock that may jump, a file that may be broken.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.logger import capturedLogs

from socksgw.gateway.grantfile import GrantFile, GrantsUnreadable
from socksgw.gateway.grants import GrantRefused, Grants
from socksgw.gateway.starting import CannotStart
from socksgw.policy.granting import Granting
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import Facts, config, loggedIn, question, ruleset
from tests.tools.catalogue import catalogued

MAY = """
[[grants.may]]
id = "inside"
who = ["users"]
to = ["10.0.0.0/8"]
ports = [22]
"""
TEXT = '[grants]\nlongest = "8h"\nwait = "1h"\n' + MAY
ASKED = {
    "who": ["alice"],
    "to": ["10.1.2.3"],
    "ports": ["22"],
    "for": "2h",
    "ticket": "INC-7",
    "why": "the disk is full",
}


class House:
    """
    A gateway's process after the other, with one file.

    @ivar time: the time on the wall.
    @ivar clock: monotonic seconds, which begin anew with each process.
    @ivar lines: what the journal was given.
    @ivar ended: the rules of grants that are over, as the gateway was told.
    """

    def __init__(self, directory: Path, text: str = TEXT) -> None:
        self.directory = directory
        self.time = 1_900_000_000.0
        self.seconds = 0.0
        self.lines: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.regrants = 0
        self.configure(text)
        self.begin()

    def configure(self, text: str) -> None:
        """Have a configuration in force."""
        self.config = config(text)
        self.rules: Any = ruleset(text)
        self.generation: Any = SimpleNamespace(ruleset=self.rules, grant=self._grant)

    def _grant(self, rules: Any) -> None:
        self.rules = self.generation.ruleset.preceded(rules)

    def begin(self) -> None:
        """Start a process; that fails if its file cannot be used."""
        self.seconds = 7.0
        self.grants = Grants(self, self.directory, lambda: self.time)
        self.grants.start()

    @property
    def journal(self) -> Any:
        """Take lines."""
        return SimpleNamespace(append=self._append)

    def _append(self, line: str) -> None:
        found = json.loads("{" + line + "}")
        catalogued(found)
        self.lines.append(found)

    hosts: Any = Facts()

    @property
    def clock(self) -> Callable[[], float]:
        """Tell monotonic seconds."""
        return lambda: self.seconds

    def regranted(self, ended: Any) -> None:
        """Take note."""
        self.regrants += 1
        self.ended += ended

    # For the test.

    def passes(self, seconds: float, wall: float | None = None) -> None:
        """Let time pass; on the wall another time."""
        self.seconds += seconds
        self.time += seconds if wall is None else wall
        self.grants.look()

    def made(self, **fields: Any) -> int:
        """Have a grant asked for and approved."""
        number = self.grants.request("token:dev", {**ASKED, **fields}).number
        self.grants.approve(number, "token:boss", True)
        return number

    @property
    def allows(self) -> str:
        """The rule that allows what is asked for; empty for none."""
        ask = question(user=loggedIn("alice"), port=22)
        # The rules ask for the time of this house.
        ask.at = self.time
        verdict = self.rules.judge(ask, Address.parse("10.1.2.3"))
        return verdict.rule if verdict.allowed else ""

    @property
    def acts(self) -> list[str]:
        """What the journal says became of grants."""
        return [line["act"] for line in self.lines]

    def state(self, number: int) -> str:
        """The state of a grant."""
        return self.grants.found(number).state


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A gateway with one template."""
    return House(tmp_path)


def refused(act: Callable[[], object]) -> int:
    """Return the status with which something is not done."""
    with pytest.raises(GrantRefused) as caught:
        act()
    assert str(caught.value)
    return caught.value.status


def test_aLife(house: House) -> None:
    """Asked for, approved, in force, over; the journal has each, with the ticket."""
    grant = house.grants.request("token:dev", ASKED)
    assert (grant.number, house.state(1), house.allows) == (1, "pending", "")
    house.grants.approve(1, "token:boss", True)
    assert house.allows == "grant:1"
    house.passes(7199)
    assert house.allows == "grant:1"
    house.passes(2)
    assert (house.state(1), house.allows) == ("ended", "")
    assert house.ended == ["grant:1"]
    assert house.acts == ["requested", "approved", "ended"]
    assert house.lines[1] == {
        "event": "grant",
        "grant": 1,
        "act": "approved",
        "by": "token:boss",
        "ticket": "INC-7",
        "allows": "connect for alice to 10.1.2.3 ports 22",
        "until": "2030-03-17T19:46:40+00:00",
        "why": "the disk is full",
    }


def test_twoPeople(house: House) -> None:
    """Nobody approves a request of their own, whatever they may otherwise."""
    house.grants.request("uid:0", ASKED)
    assert refused(lambda: house.grants.approve(1, "uid:0", True)) == 403
    assert refused(lambda: house.grants.approve(1, "token:boss", False)) == 403
    assert house.state(1) == "pending"
    house.grants.approve(1, "token:boss", True)
    assert refused(lambda: house.grants.approve(1, "token:other", True)) == 409
    assert refused(lambda: house.grants.approve(9, "token:boss", True)) == 404


def test_approvers(tmp_path: Path) -> None:
    """Where they are named, nobody else; a template may name others."""
    text = TEXT.replace("[grants]", '[grants]\napprovers = ["uid:7"]') + (
        MAY.replace("inside", "dmz").replace("10.0", "172.16").replace("/8", "/16")
        + 'approvers = ["uid:8"]\n'
    )
    house = House(tmp_path, text)
    for to, approver in (("10.1.2.3", "uid:7"), ("172.16.2.3", "uid:8")):
        number = house.grants.request("uid:1", {**ASKED, "to": [to]}).number
        for other in {"uid:7", "uid:8", "uid:9"} - {approver}:
            with pytest.raises(GrantRefused, match="may not approve"):
                house.grants.approve(number, other, True)
        house.grants.approve(number, approver, False)


def test_whoMayRevoke(house: House) -> None:
    """Who asked, who may approve; it ends at once."""
    number = house.made()
    assert refused(lambda: house.grants.revoke(number, "token:x", False)) == 403
    house.grants.revoke(number, "token:dev", False, "done")
    assert (house.state(number), house.allows) == ("revoked", "")
    assert house.ended == ["grant:1"]
    assert (house.lines[-1]["by"], house.lines[-1]["why"]) == ("token:dev", "done")
    assert refused(lambda: house.grants.revoke(number, "token:dev", True)) == 409
    house.grants.request("token:dev", ASKED)
    house.grants.revoke(2, "token:x", True)
    assert house.state(2) == "revoked"


def test_lapsed(house: House) -> None:
    """A request that nobody approves in time lapses."""
    house.grants.request("token:dev", ASKED)
    house.passes(3601)
    assert house.state(1) == "lapsed"
    assert refused(lambda: house.grants.approve(1, "token:boss", True)) == 409
    assert house.ended == []


def test_restart(house: House) -> None:
    """A grant lives on in the next process, to the same end; so does a request."""
    number = house.made()
    house.grants.request("token:dev", ASKED)
    house.passes(3000)
    house.time += 500
    house.begin()
    assert (house.allows, house.state(2)) == ("grant:1", "pending")
    house.passes(3699)
    assert house.allows == "grant:1"
    house.passes(2)
    assert (house.allows, house.state(number)) == ("", "ended")
    # And one that is over stays over.
    house.begin()
    assert (house.allows, house.state(number)) == ("", "ended")


def test_endedWhileNothingRan(house: House) -> None:
    """What ended meanwhile is not in force for a moment."""
    house.made()
    house.time += 7200
    house.begin()
    assert (house.allows, house.state(1)) == ("", "ended")
    assert house.acts[-1] == "ended"


def test_aClockThatIsSetBack(house: House) -> None:
    """It makes no grant longer, and revives none."""
    house.made()
    house.passes(3600, wall=-86400)
    assert house.allows == "grant:1"
    house.passes(3601)
    assert (house.allows, house.state(1)) == ("", "ended")
    house.time -= 10 * 86400
    house.passes(1)
    assert house.allows == ""
    house.begin()
    assert (house.allows, house.state(1)) == ("", "ended")


def test_aClockThatIsSetBackWhileNothingRuns(house: House) -> None:
    """No more is left of a grant than when it was kept last."""
    house.made()
    house.passes(7000)
    house.grants.close()
    house.time -= 86400
    house.begin()
    assert house.allows == "grant:1"
    house.passes(190)
    assert house.allows == "grant:1"
    house.passes(20)
    assert (house.allows, house.state(1)) == ("", "ended")


def test_aClockThatIsSetForward(house: House) -> None:
    """It ends a grant, and setting it back does not bring that back."""
    house.made()
    house.passes(1, wall=86400)
    assert (house.allows, house.state(1)) == ("", "ended")
    house.passes(1, wall=-86400)
    assert house.allows == ""


def test_aReload(house: House) -> None:
    """A configuration that lets people grant it keeps it; another one ends it."""
    house.made()
    house.configure(TEXT + '[[rule]]\nid = "no"\ndeny = "any"\n')
    house.grants.adopt()
    assert house.allows == "grant:1"
    house.configure(TEXT.replace("ports = [22]", "ports = [23]"))
    house.grants.adopt()
    assert (house.allows, house.state(1)) == ("", "revoked")
    assert "does not allow it any more" in house.lines[-1]["why"]
    house.configure(TEXT)
    house.grants.adopt()
    assert house.allows == ""


def test_eachIsCompiledOnce(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one more grant costs does not grow with those that are in force."""
    calls: list[object] = []
    granted = Granting.granted

    def counted(self: Granting, *arguments: Any) -> Any:
        calls.append(arguments)
        return granted(self, *arguments)

    monkeypatch.setattr(Granting, "granted", counted)
    costs = []
    for _ in range(4):
        calls.clear()
        grant = house.grants.request("token:a", ASKED)
        house.grants.approve(grant.number, "token:b", True)
        costs.append(len(calls))
    assert costs == costs[:1] * 4
    house.grants.adopt()
    house.grants.revoke(1, "token:b", True)
    assert len(house.grants._rules()) == 3


def test_beforeTheRules(tmp_path: Path) -> None:
    """A grant goes before a rule that denies, and not before [never]."""
    house = House(
        tmp_path,
        TEXT + '[[rule]]\nid = "no"\ndeny = "any"\n[never]\nalso = ["10.9.0.0/16"]\n',
    )
    house.made(to=["10.0.0.0/8"])
    assert house.allows == "grant:1"
    ask = question(user=loggedIn("alice"), port=22)
    ask.at = house.time
    verdict = house.rules.judge(ask, Address.parse("10.9.1.1"))
    assert (verdict.allowed, verdict.rule) == (False, "never")


@pytest.mark.parametrize(
    "fields",
    [{"for": 7}, {"who": "alice"}, {"until": "x"}, {"ticket": ""}, {"to": ["8.8.8.8"]}],
)
def test_badRequests(house: House, fields: dict[str, Any]) -> None:
    """Nothing is asked for then; what is only too wide is refused, not malformed."""
    status = 403 if "to" in fields else 400
    assert refused(lambda: house.grants.request("uid:1", {**ASKED, **fields})) == status
    assert house.grants.all() == []
    assert house.lines == []


def test_tooMany(house: House) -> None:
    """200 at a time; those that are over are forgotten, the latest 100 last."""
    for _ in range(200):
        house.grants.request("uid:1", ASKED)
    assert refused(lambda: house.grants.request("uid:1", ASKED)) == 409
    house.passes(3601)
    house.grants.request("uid:1", ASKED)
    assert house.grants.all()[0].number == 101
    assert len(house.grants.all()) == 101


def test_theFileIsOurs(house: House, tmp_path: Path) -> None:
    """Nobody else can read it, and it holds each state whole."""
    house.made()
    file = tmp_path / "grants.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "grants.new").exists()
    assert json.loads(file.read_text())["grants"][0]["state"] == "active"


def test_nothingIsGrantedThatIsNotKept(house: House, tmp_path: Path) -> None:
    """Where the file cannot be written, nothing changes; an end comes all the same."""
    number = house.made()
    house.grants.request("token:dev", ASKED)
    (tmp_path / "grants.new").mkdir()
    assert refused(lambda: house.grants.approve(2, "token:boss", True)) == 500
    assert refused(lambda: house.grants.request("token:dev", ASKED)) == 500
    assert house.state(2) == "pending"
    with capturedLogs() as events:
        house.grants.revoke(number, "token:boss", True)
    assert (house.allows, house.state(number)) == ("", "revoked")
    assert len(events) == 1
    # Once it can be kept, the next process knows that it is over, too.
    (tmp_path / "grants.new").rmdir()
    house.passes(61)
    house.begin()
    assert (house.allows, house.state(number)) == ("", "revoked")


def test_aBrokenFile(house: House, tmp_path: Path) -> None:
    """The gateway does not start with it, and says what to do."""
    house.made()
    file = tmp_path / "grants.json"
    before = file.read_text()
    file.write_text(before[:-9])
    with pytest.raises(CannotStart, match="not a file of grants; move it away"):
        house.begin()
    file.write_text(before)
    house.begin()
    assert house.allows == "grant:1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r'"saved": [0-9.]+', '"saved": NaN'),
        (r'"saved": [0-9.]+', '"saved": -1'),
        (r'"until": [0-9.]+', '"until": Infinity'),
        (r'"left": [0-9.]+', '"left": NaN'),
        (r'"number": 1', '"number": 0'),
        (r'"number": 1', '"number": true'),
        (r'"grants": \[(.*)\]', r'"grants": [\1, \1]'),
        (r'"next": 2', '"next": 1'),
        (r'"state": "active"', '"state": "ACTIVE"'),
        (r'"asked": ', '"asked": 1, "aske": '),
    ],
)
def test_aFileThatSaysWhatCannotBe(
    house: House, tmp_path: Path, old: str, new: str
) -> None:
    """Nothing of it is believed."""
    house.made()
    file = tmp_path / "grants.json"
    text, count = re.subn(old, new, file.read_text())
    assert count == 1
    file.write_text(text)
    with pytest.raises(CannotStart, match="not a file of grants; move it away"):
        house.begin()


def test_aDamagedFile(house: House, tmp_path: Path) -> None:
    """Whatever octets are other ones, it is read as a whole, or not at all."""
    house.made()
    file = tmp_path / "grants.json"
    before, chance = file.read_bytes(), random.Random(14)
    refused = 0
    for _ in range(400):
        octets = bytearray(before)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(octets))
            if chance.random() < 0.3:
                del octets[at : at + chance.randrange(1, 40)]
            else:
                octets[at] = chance.choice(b'0129{}[]",:eE-+.\\n\xff') & 0xFF
        file.write_bytes(octets)
        try:
            GrantFile(file).load()
        except GrantsUnreadable:
            refused += 1
    assert refused > 200


def test_beforeTheStart(tmp_path: Path) -> None:
    """Nothing is granted by a gateway that has not read its file."""
    house = House(tmp_path)
    house.grants = Grants(house, tmp_path, lambda: house.time)
    assert refused(lambda: house.grants.request("uid:1", ASKED)) == 503
    house.grants.adopt()
    house.grants.close()
    assert not (tmp_path / "grants.json").exists()


def test_preceded() -> None:
    """Rules stand before those of a large configuration, and each is found."""
    many = "".join(
        f'[[rule]]\nid = "r{i}"\nallow = "any"\nto = ["44.0.{i}.0/24"]\n'
        for i in range(100)
    )
    first = ruleset('[[rule]]\nid = "first"\ndeny = "any"\nto = ["44.0.7.0/25"]\n')
    rules = ruleset(many)
    both: Ruleset = rules.preceded(first.rules)
    for address, rule in (("44.0.7.1", "first"), ("44.0.7.200", "r7")):
        verdict = both.judge(question(), Address.parse(address))
        assert verdict.rule == rule
    assert rules.preceded(()) is rules
    assert [r.id for r in both.index.before(0)] == []
    assert "first" in [r.id for r in both.index.before(8)]
