"""
"What a rule means", sentence by sentence.
"""

from __future__ import annotations

import pytest

from socksgw.policy.questions import Question
from socksgw.wire.address import Address
from tests.fakes.policy import (
    ANONYMOUS,
    PUBLIC,
    PUBLIC6,
    Facts,
    Somebody,
    compiled,
    doubted,
    errors,
    judge,
    loggedIn,
    question,
    ruleset,
)

ALL = '[[rule]]\nid = "all"\nallow = "any"\n'
DENIED = (False, "default")


# "Rules are ordered, first match wins, the end is deny."


def test_rulesAreOrderedAndTheFirstMatchWins() -> None:
    """Which of two rules that match decides is a matter of their order alone."""
    deny = '[[rule]]\nid = "deny"\ndeny = "any"\nports = [25]\n'
    asked = question(port=25)
    assert judge(deny + ALL, PUBLIC, asked) == (False, "deny")
    allow = '[[rule]]\nid = "mail"\nallow = ["connect"]\nports = [25, 26]\n'
    assert judge(allow + deny.replace("[25]", "[25, 27]"), PUBLIC, asked) == (
        True,
        "mail",
    )


def test_theEndIsDeny() -> None:
    """Whatever no rule allows is denied."""
    assert judge("", PUBLIC) == DENIED
    assert judge('rule = [{ id = "a", allow = "any", ports = [80] }]', PUBLIC) == DENIED


def test_everyMatchFieldIsASet() -> None:
    """One member that matches is enough, and each does."""
    rules = ruleset(
        """
        [[rule]]
        id = "sets"
        allow = ["connect", "bind"]
        who = ["alice", "bob"]
        from = ["192.168.0.0/16", "10.0.0.1"]
        listener = ["main", "second"]
        to = ["8.8.8.0/24", "=dns.example"]
        ports = [53, "100-200"]
        """
    )
    for command in ("connect", "bind"):
        for name in ("alice", "bob"):
            for source in ("192.168.9.9", "10.0.0.1"):
                for listener in ("main", "second"):
                    for port in (53, 100, 150, 200):
                        asked = question(
                            user=loggedIn(name),
                            source=source,
                            listener=listener,
                            command=command,
                            port=port,
                        )
                        assert judge(rules, PUBLIC, asked) == (True, "sets")
    asked = question("dns.example", user=loggedIn("alice"), port=53)
    assert judge(rules, "9.9.9.9", asked) == (True, "sets")


@pytest.mark.parametrize(
    "asked",
    [
        question(command="bind"),
        question(user=loggedIn("alice", "staff")),
        question(source="2001:db8::9", listener="second"),
        question("any.example", port=1),
        question(port=65535),
    ],
)
def test_anAbsentFieldMatchesAll(asked: Question) -> None:
    """A rule without conditions matches every question."""
    assert judge(ALL, PUBLIC, asked) == (True, "all")


@pytest.mark.parametrize(
    "field", ["allow", "who", "from", "listener", "to", "resolving_to", "ports"]
)
def test_anEmptyListMatchesNothingAndIsLegal(field: str) -> None:
    """A rule with an empty set is no error, and never matches."""
    command = "" if field == "allow" else 'allow = "any"\n'
    rules = ruleset(f'[[rule]]\nid = "none"\n{command}{field} = []\n')
    for name in (None, "www.example"):
        assert judge(rules, PUBLIC, question(name)) == DENIED


def test_anEmptyListOfADenyMatchesNothing() -> None:
    """It is nothing, not everything, that is denied."""
    rules = ruleset('[[rule]]\nid = "none"\ndeny = []\n' + ALL)
    assert judge(rules, PUBLIC) == (True, "all")
    rules = ruleset('[[rule]]\nid = "none"\ndeny = "any"\nto = []\n' + ALL)
    assert judge(rules, PUBLIC) == (True, "all")


@pytest.mark.parametrize("command", ["connect", "bind", "udp", "resolve"])
def test_allFourCommandsLoad(command: str) -> None:
    """
    Commands are connect, bind, udp, resolve; "any" is all of them, but that
    look-ups are off unless an allow names them; and a rule for one is not for
    the others.
    """
    allowed, _ = judge(ALL, PUBLIC, question(command=command))
    assert allowed is (command != "resolve")
    nothing = ruleset('[[rule]]\nid = "none"\ndeny = "any"\n')
    assert judge(nothing, PUBLIC, question(command=command)) == (False, "none")
    rules = ruleset(f'[[rule]]\nid = "one"\nallow = ["{command}"]\n')
    for other in ("connect", "bind", "udp", "resolve"):
        allowed, _ = judge(rules, PUBLIC, question(command=other))
        assert allowed is (other == command)


def test_denyIsOfCommandsToo() -> None:
    """A deny of one command leaves the others to later rules."""
    rules = ruleset('[[rule]]\nid = "no"\ndeny = ["bind"]\n' + ALL)
    assert judge(rules, PUBLIC, question(command="bind")) == (False, "no")
    assert judge(rules, PUBLIC) == (True, "all")


# "who: a name, @group (declared in [groups]), anonymous, users (anyone logged in)."

GROUPS = '[groups]\nengineers = ["alice", "bob"]\n'


@pytest.mark.parametrize(
    ("who", "user", "expected"),
    [
        ("alice", loggedIn("alice"), True),
        ("alice", loggedIn("bob"), False),
        ("alice", loggedIn("Alice"), False),
        ("alice", ANONYMOUS, False),
        ("@engineers", loggedIn("alice", "engineers"), True),
        ("@engineers", loggedIn("alice", "other"), False),
        ("@engineers", loggedIn("engineers"), False),
        ("@engineers", ANONYMOUS, False),
        ("anonymous", ANONYMOUS, True),
        ("anonymous", loggedIn("alice"), False),
        ("users", loggedIn("alice"), True),
        ("users", ANONYMOUS, False),
    ],
)
def test_who(who: str, user: Somebody, expected: bool) -> None:
    """A name, a group, nobody in particular, anyone logged in."""
    rules = ruleset(f'{GROUPS}[[rule]]\nid = "r"\nallow = "any"\nwho = ["{who}"]\n')
    assert judge(rules, PUBLIC, question(user=user))[0] is expected


def test_whoMayBeMeant() -> None:
    """
    A group that nobody can say whether a user is in matches no allow, and is
    not missed by a deny; the verdict tells what is not known.
    """
    allow, deny = (
        ruleset(
            f'{GROUPS}[[rule]]\nid = "r"\n{word} = "any"\nwho = ["@engineers"]\n'
            '[[rule]]\nid = "all"\nallow = "any"\nwho = ["bob"]\n'
        )
        for word in ("allow", "deny")
    )
    bob, alice = (question(user=doubted(n, "engineers")) for n in ("bob", "alice"))
    assert judge(allow, PUBLIC, bob) == (True, "all")
    assert judge(deny, PUBLIC, bob) == (False, "r")
    assert judge(allow, PUBLIC, alice) == (False, "default")
    address = Address.parse(PUBLIC)
    for rules, asked, why in (
        (deny, bob, "a rule denies it"),
        (allow, alice, "no rule allows it"),
    ):
        assert rules.judge(asked, address).why == f"{why}; it is not known"
    verdict = allow.judge(alice, address)
    assert allow.revoked("r", alice, address, verdict) == (
        'rule "default": no rule allows it; it is not known; "r" may match still'
    )
    other = question(user=doubted("bob", "others"))
    assert judge(deny, PUBLIC, other) == (True, "all")


def test_whatADenialTells() -> None:
    """What its rule says to people, in place of our own words."""
    rules = ruleset('[[rule]]\nid = "r"\ndeny = "any"\nmessage = "ask ü"\n')
    verdict = rules.judge(question(), Address.parse(PUBLIC))
    assert (verdict.allowed, verdict.rule, verdict.why) == (False, "r", "ask ü")


@pytest.mark.parametrize("word", ["anonymous", "users", "@engineers"])
def test_aUserWithTheNameOfAWordIsNotWhatTheWordMeans(word: str) -> None:
    """
    `none` never logs anyone in: the user is `anonymous`. Who logs in under
    such a name is a user like any other.
    """
    rules = ruleset(f'{GROUPS}[[rule]]\nid = "r"\nallow = "any"\nwho = ["{word}"]\n')
    user = loggedIn(word)
    assert judge(rules, PUBLIC, question(user=user))[0] is (word == "users")


def test_aNamedUserIsNeverOneWhoDidNotLogIn() -> None:
    """A name, or a group, counts for those who logged in only."""
    rules = ruleset(
        f'{GROUPS}[[rule]]\nid = "r"\nallow = "any"\nwho = ["alice", "@engineers"]\n'
    )
    stranger = Somebody("alice", frozenset({"engineers"}), "none")
    assert judge(rules, PUBLIC, question(user=stranger)) == DENIED


# from and listener


@pytest.mark.parametrize(
    ("sources", "source", "expected"),
    [
        ('["192.168.0.0/16"]', "192.168.255.255", True),
        ('["192.168.0.0/16"]', "192.169.0.0", False),
        ('["192.168.1.1"]', "192.168.1.1", True),
        ('["192.168.1.1"]', "192.168.1.2", False),
        ('["2001:db8::/32"]', "2001:db8:ffff::1", True),
        ('["2001:db8::/32"]', "2001:db9::1", False),
        ('["0.0.0.0/0"]', "2001:db8::1", False),
        ('["any"]', "2001:db8::1", True),
        ('["private"]', "10.1.1.1", True),
        ('["private"]', "8.8.8.8", False),
        ('["loopback"]', "127.0.0.1", True),
        ('["loopback"]', "::1", True),
        ('["self"]', "9.9.9.1", True),
        ('["home"]', "10.77.0.1", True),
        ('["home"]', "10.78.0.1", False),
        # A client that reaches an IPv6 listener by IPv4.
        ('["192.168.0.0/16"]', "::ffff:192.168.1.1", True),
    ],
)
def test_fromIsTheClientsAddress(sources: str, source: str, expected: bool) -> None:
    """Networks, [networks] entries and built-in names, of the client."""
    rules = ruleset(
        '[networks]\nhome = ["10.77.0.0/16"]\n'
        f'[[rule]]\nid = "r"\nallow = "any"\nfrom = {sources}\n'
    )
    asked = question(source=source)
    assert judge(rules, PUBLIC, asked)[0] is expected


def test_listenerIsTheOneTheClientCameInOn() -> None:
    """A rule for one listener is not for another."""
    rules = ruleset('[[rule]]\nid = "r"\nallow = "any"\nlistener = ["second"]\n')
    assert judge(rules, PUBLIC, question(listener="second")) == (True, "r")
    assert judge(rules, PUBLIC, question(listener="main")) == DENIED


# ports


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (21, False),
        (22, True),
        (23, False),
        (443, True),
        (7999, False),
        (8000, True),
        (8050, True),
        (8099, True),
        (8100, False),
        (65535, True),
    ],
)
def test_portsAreNumbersAndRangesWithBothEnds(port: int, expected: bool) -> None:
    """A range contains its first and its last port."""
    rules = ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nports = [22, 443, "8000-8099", 65535]\n'
    )
    assert judge(rules, PUBLIC, question(port=port))[0] is expected


# "A name pattern in `to` matches the asked name; a network matches the address,
# also the address of a name."


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        # "*.x = any name below x"
        ("*.corp.example", "db.corp.example", True),
        ("*.corp.example", "a.b.corp.example", True),
        ("*.corp.example", "corp.example", False),
        ("*.corp.example", "notcorp.example", False),
        ("*.corp.example", "corp.example.evil", False),
        ("*.corp.example", "x.corp.example.evil", False),
        ("*.example", "corp.example", True),
        # ".x = x and below"
        (".corp.example", "corp.example", True),
        (".corp.example", "db.corp.example", True),
        (".corp.example", "xcorp.example", False),
        (".corp.example", "example", False),
        # "=host = that name alone"
        ("=db.corp.example", "db.corp.example", True),
        ("=db.corp.example", "x.db.corp.example", False),
        ("=db.corp.example", "db.corp.example2", False),
        ("=localhost", "localhost", True),
        # Case and the root dot are no difference.
        ("=DB.Corp.Example.", "db.corp.example", True),
        ("*.CORP.example", "db.corp.example", True),
    ],
)
def test_aNamePatternMatchesTheAskedName(
    pattern: str, name: str, expected: bool
) -> None:
    """The three forms, and their edges."""
    rules = ruleset(f'[[rule]]\nid = "r"\nallow = "any"\nto = ["{pattern}"]\n')
    assert judge(rules, PUBLIC, question(name))[0] is expected


def test_aNamePatternNeverMatchesALiteral() -> None:
    """Who asks for an address has asked for no name."""
    rules = ruleset('[[rule]]\nid = "r"\nallow = "any"\nto = ["*.example"]\n')
    assert judge(rules, PUBLIC, question(None)) == DENIED


@pytest.mark.parametrize("name", [None, "www.example"])
def test_aNetworkMatchesTheAddressAlsoOfAName(name: str | None) -> None:
    """What is dialled counts, whatever it was asked as."""
    rules = ruleset(
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["8.8.8.0/24"]\n'
        '[[rule]]\nid = "yes"\nallow = "any"\nto = ["8.8.0.0/16"]\n'
    )
    assert judge(rules, "8.8.8.8", question(name)) == (False, "no")
    assert judge(rules, "8.8.9.8", question(name)) == (True, "yes")
    assert judge(rules, "8.9.8.8", question(name)) == DENIED


def test_forANameTheRulesRunOncePerCandidateAddress() -> None:
    """Two addresses of one name may meet two rules."""
    rules = ruleset(
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["9.0.0.0/8"]\n'
        '[[rule]]\nid = "name"\nallow = "any"\nto = ["=two.example"]\n'
    )
    asked = question("two.example")
    assert judge(rules, "9.1.1.1", asked) == (False, "no")
    assert judge(rules, "8.1.1.1", asked) == (True, "name")


def test_aBareWordIsABuiltInOrANetworksEntry() -> None:
    """An entry may hold networks, names, built-in words and other entries."""
    rules = ruleset(
        """
        [networks]
        dc = ["10.1.0.0/16", "*.corp.example", "other"]
        other = ["2620:fe::/48", "multicast"]
        [never]
        to = []
        [[rule]]
        id = "dc"
        allow = "any"
        to = ["dc"]
        """
    )
    assert judge(rules, "10.1.255.255") == (True, "dc")
    assert judge(rules, PUBLIC6) == (True, "dc")
    assert judge(rules, "224.0.0.5") == (True, "dc")
    assert judge(rules, PUBLIC, question("x.corp.example")) == (True, "dc")
    assert judge(rules, PUBLIC) == DENIED


def test_aBareWordThatIsNeitherIsAnError() -> None:
    """A host name without a mark is not guessed at; the error says how."""
    found = errors('[[rule]]\nid = "r"\nallow = "any"\nto = ["db.corp.example"]\n')
    assert [path for path, _ in found] == ["rule[0].to[0]"]
    assert '"=db.corp.example"' in found[0][1]


# "An allow that matched by name pattern covers public addresses only, unless
# the rule says resolving_to."

INSIDE = (
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "fd00::1",
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "0.0.0.0",
    "fe80::1",
    "224.0.0.1",
    "64:ff9b::10.0.0.1",
    "::ffff:10.0.0.1",
    "2620:fe::5efe:10.0.0.1",
)


@pytest.mark.parametrize("address", INSIDE)
def test_anAllowByNameCoversPublicAddressesOnly(address: str) -> None:
    """A stranger's DNS must not open the inside, also where [never] is off."""
    rules = ruleset(
        '[never]\nto = []\n[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example"]\n'
    )
    asked = question("db.corp.example")
    assert judge(rules, address, asked) == DENIED
    assert judge(rules, PUBLIC, asked) == (True, "r")
    assert judge(rules, PUBLIC6, asked) == (True, "r")


@pytest.mark.parametrize("address", INSIDE)
def test_anAllowByNameIsLimitedAlsoBesideNetworks(address: str) -> None:
    """That the rule has networks too does not open them for the name."""
    rules = ruleset(
        "[never]\nto = []\n"
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example", "10.9.0.0/16"]\n'
    )
    asked = question("db.corp.example")
    assert judge(rules, address, asked) == DENIED
    # By the network, the name counts for nothing.
    assert judge(rules, "10.9.1.1", asked) == (True, "r")


def test_resolvingToOpensWhatItNames() -> None:
    """With `resolving_to` exactly those addresses are covered."""
    rules = ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example"]\n'
        'resolving_to = ["private"]\n'
    )
    asked = question("db.corp.example")
    assert judge(rules, "10.1.2.3", asked) == (True, "r")
    assert judge(rules, "fd00::9", asked) == (True, "r")
    assert judge(rules, PUBLIC, asked) == DENIED
    assert judge(rules, "10.1.2.3", question("db.other.example")) == DENIED
    assert judge(rules, "127.0.0.1", asked) == (False, "never")


def test_resolvingToOfNetworks() -> None:
    """`resolving_to` takes networks, and several."""
    rules = ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example"]\n'
        'resolving_to = ["10.1.0.0/16", "8.8.8.0/24"]\n'
    )
    asked = question("db.corp.example")
    assert judge(rules, "10.1.2.3", asked) == (True, "r")
    assert judge(rules, PUBLIC, asked) == (True, "r")
    assert judge(rules, "10.2.2.3", asked) == DENIED


def test_resolvingToDoesNotLiftTheBan() -> None:
    """[never] comes before every rule, on resolved addresses."""
    rules = ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example"]\n'
        'resolving_to = ["any"]\n'
    )
    assert judge(rules, "127.0.0.1", question("db.corp.example")) == (False, "never")


def test_aDenyByNameCoversEveryAddress() -> None:
    """What is limited to public addresses is the allow, never the deny."""
    rules = ruleset(
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["*.evil.example"]\n' + ALL
    )
    asked = question("x.evil.example")
    for address in (PUBLIC, "10.0.0.1", "192.168.1.1", PUBLIC6):
        assert judge(rules, address, asked) == (False, "no")


def test_anAllowWithoutToIsNotByName() -> None:
    """A rule without `to` matches every address, of a name too."""
    assert judge(ALL, "10.0.0.1", question("db.corp.example")) == (True, "all")


def test_anAllowByAnyIsNotByName() -> None:
    """`any` is a network, and its addresses are meant."""
    rules = ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["any", "*.corp.example"]\n'
    )
    assert judge(rules, "10.0.0.1", question("db.corp.example")) == (True, "r")


# Built-in networks.


def test_listenersAreOnlyThePortsWeListenOn() -> None:
    """`listeners`: (address, port), where `self` is every port."""
    rules = ruleset(
        "[never]\nto = []\n"
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["listeners"]\n' + ALL,
        Facts(listening=[("9.9.9.1", 1080)]),
    )
    assert judge(rules, "9.9.9.1", question(port=1080)) == (False, "no")
    assert judge(rules, "9.9.9.1", question(port=1081)) == (True, "all")
    assert judge(rules, "9.9.9.2", question(port=1080)) == (True, "all")


def test_anyIsEverything() -> None:
    """`any` covers every address of both versions."""
    rules = ruleset(
        '[never]\nto = []\n[[rule]]\nid = "r"\nallow = "any"\nto = ["any"]\n'
    )
    for address in (*INSIDE, PUBLIC, PUBLIC6):
        assert judge(rules, address) == (True, "r")


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("loopback", "127.3.2.1"),
        ("link-local", "fe80::7"),
        ("multicast", "ff05::2"),
        ("metadata", "100.100.100.200"),
        ("documentation", "2001:db8::7"),
        ("reserved", "240.1.1.1"),
        ("special", "198.18.0.1"),
        ("private", "100.127.255.255"),
        ("self", "9.9.9.1"),
    ],
)
def test_builtInWordsCanBeDenied(word: str, address: str) -> None:
    """Every word of the contract is known, and covers what it says."""
    rules = ruleset(
        f'[never]\nto = []\n[[rule]]\nid = "no"\ndeny = "any"\nto = ["{word}"]\n' + ALL
    )
    assert judge(rules, address) == (False, "no")
    assert judge(rules, PUBLIC) == (True, "all")


# [never]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "169.254.169.254", "9.9.9.1", "::ffff:127.0.0.1"]
)
def test_neverComesBeforeEveryRule(address: str) -> None:
    """The default ban: special and self, in every spelling."""
    assert judge(ALL, address) == (False, "never")


def test_alsoAddsToTheDefault() -> None:
    """`also` takes nothing away."""
    rules = ruleset('[never]\nalso = ["10.9.0.0/16"]\n' + ALL)
    assert judge(rules, "10.9.1.1") == (False, "never")
    assert judge(rules, "::ffff:10.9.1.1") == (False, "never")
    assert judge(rules, "127.0.0.1") == (False, "never")
    assert judge(rules, "10.8.1.1") == (True, "all")


def test_toReplacesTheDefaultAndWarns() -> None:
    """`to = […]` replaces it and warns at start."""
    found = compiled('[never]\nto = ["10.9.0.0/16"]\n' + ALL)
    assert found.errors == []
    assert [w.path for w in found.warnings] == ["never.to"]
    assert judge(found.ruleset, "10.9.1.1") == (False, "never")
    assert judge(found.ruleset, "127.0.0.1") == (True, "all")


def test_anEmptyToSwitchesTheBanOffWhole() -> None:
    """`to = []` switches it off, and says so."""
    found = compiled("[never]\nto = []\n" + ALL)
    assert [w.path for w in found.warnings] == ["never.to"]
    for address in INSIDE:
        assert judge(found.ruleset, address) == (True, "all")


def test_exceptLiftsTheBanForThatLiteralAndPort() -> None:
    """`except = ["127.0.0.1:8080"]` is that address and that port."""
    rules = ruleset('[never]\nexcept = ["127.0.0.1:8080", "[::1]:8080"]\n' + ALL)
    assert judge(rules, "127.0.0.1", question(port=8080)) == (True, "all")
    assert judge(rules, "::1", question(port=8080)) == (True, "all")
    assert judge(rules, "127.0.0.1", question(port=8081)) == (False, "never")
    assert judge(rules, "127.0.0.2", question(port=8080)) == (False, "never")
    assert judge(rules, "169.254.169.254", question(port=8080)) == (False, "never")


def test_exceptLiftsTheBanOnly() -> None:
    """A rule must still allow that literal."""
    only = '[never]\nexcept = ["127.0.0.1:8080"]\n'
    assert judge(only, "127.0.0.1", question(port=8080)) == DENIED
    rules = ruleset(
        only + '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.corp.example"]\n'
    )
    # By name pattern: public addresses only, also where the ban is lifted.
    asked = question("db.corp.example", port=8080)
    assert judge(rules, "127.0.0.1", asked) == DENIED


@pytest.mark.parametrize(
    ("never", "banned"),
    [
        ("", True),
        ('to = ["special"]', False),
        ('to = ["any"]', True),
        ("to = []", False),
        ('except = ["9.9.9.9"]', False),
        ('except = ["9.9.9.9:443"]', False),
        ('except = ["9.9.9.9:80", "9.9.9.8"]', True),
    ],
)
def test_whatTurnsOutToBeThisHost(never: str, banned: bool) -> None:
    """It is banned where `self` is, unless it is lifted."""
    rules = ruleset(f"[never]\n{never}\n{ALL}")
    assert rules.never.bansSelf(Address.parse("9.9.9.9"), 443) is banned


def test_exceptOfANetwork() -> None:
    """A network without port is lifted on every port."""
    rules = ruleset('[never]\nexcept = ["127.0.0.0/8", "::1"]\n' + ALL)
    for address in ("127.0.0.1", "127.9.9.9", "::1"):
        assert judge(rules, address, question(port=1)) == (True, "all")
    assert judge(rules, "169.254.1.1") == (False, "never")


# id


@pytest.mark.parametrize("address", [PUBLIC, "127.0.0.1", "10.0.0.1"])
def test_theVerdictNamesTheRule(address: str) -> None:
    """The rule's id, or `never`, or `default`."""
    rules = ruleset('[[rule]]\nid = "private"\nallow = "any"\nto = ["private"]\n')
    expected = {
        PUBLIC: (False, "default"),
        "127.0.0.1": (False, "never"),
        "10.0.0.1": (True, "private"),
    }
    assert judge(rules, address) == expected[address]


def test_anAddressWhereThereAreRulesByName() -> None:
    """
    A client that looks names up itself meets no rule by name: the denial says
    so, where there are such rules, and not when a name was asked for.
    """
    named = '[[rule]]\nid = "n"\nallow = ["connect"]\nto = ["*.example"]\n'
    hint = "have it send the name (socks5h://, SOCKS 4a, remote DNS)"
    rules = ruleset(named)
    denied = rules.judge(question(name=None), Address.parse(PUBLIC))
    assert (denied.rule, denied.why[:20]) == ("default", "no rule allows it; t")
    assert denied.why.endswith(hint)
    other = rules.judge(question(name="a.other"), Address.parse(PUBLIC))
    assert other.why == "no rule allows it"
    for text in (
        named.replace("*.example", "10.0.0.0/8"),
        named.replace('allow = ["connect"]', 'deny = ["connect"]'),
        named + "report_only = true",
    ):
        found = ruleset(text).judge(question(name=None), Address.parse("9.8.7.6"))
        assert found.why == "no rule allows it"
