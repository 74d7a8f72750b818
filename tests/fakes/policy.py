"""
What the tests of the policy share: rules from TOML, and questions to them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from socksgw.config.loading import loads
from socksgw.config.problems import Problem
from socksgw.config.schema import Config
from socksgw.interfaces import Asker
from socksgw.policy.decision import Decision
from socksgw.policy.document import Compiled, Compiler
from socksgw.policy.questions import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

#: A listener, so that rules have one to name.
LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[listen]]
name = "second"
address = ["127.0.0.1:1081"]
"""

#: An address that nobody calls special or private.
PUBLIC = "8.8.8.8"
PUBLIC6 = "2620:fe::fe"


@dataclass(frozen=True)
class Facts:
    """A host with the given addresses that listens at the given places."""

    own: Collection[str] = ("127.0.0.1", "::1", "9.9.9.1")
    listening: Collection[tuple[str, int]] = (("9.9.9.1", 1080),)

    def isSelf(self, address: Address, listener: str | None = None) -> bool:
        return address.text in self.own

    def isListener(
        self, address: Address, port: int, listener: str | None = None
    ) -> bool:
        return (address.text, port) in self.listening


@dataclass(frozen=True)
class Somebody:
    """A user."""

    name: str = "anonymous"
    groups: frozenset[str] = field(default_factory=frozenset)
    method: str = "none"
    unsure: frozenset[str] = field(default_factory=frozenset)
    doubt: str = "it is not known"
    expires: float | None = None

    @property
    def anonymous(self) -> bool:
        """Whether nobody has logged in."""
        return self.method == "none"


ANONYMOUS = Somebody()


def loggedIn(name: str, *groups: str) -> Somebody:
    """Make a user who has logged in."""
    return Somebody(name, frozenset(groups), "userpass")


def doubted(name: str, *unsure: str) -> Somebody:
    """Make a user whose membership in these groups is unknown."""
    return Somebody(name, frozenset(), "userpass", frozenset(unsure))


def config(text: str) -> Config:
    """Load C{text}, with two listeners behind it."""
    return loads(text + LISTEN, "gw.toml")


def compiled(text: str, facts: Facts | None = None) -> Compiled:
    """Compile the policy in C{text}."""
    return Compiler(config(text), facts or Facts()).compile()


def ruleset(text: str, facts: Facts | None = None) -> Ruleset:
    """Compile the policy in C{text}, which must be without errors, to its rules."""
    found = compiled(text, facts)
    assert found.errors == []
    return found.ruleset


def errors(text: str) -> list[tuple[str, str]]:
    """Return the places and texts of the errors in C{text}."""
    return _pairs(compiled(text).errors)


def warnings(text: str) -> list[tuple[str, str]]:
    """Return the places and texts of the warnings about C{text}."""
    found = compiled(text)
    assert found.errors == []
    return _pairs(found.warnings)


def _pairs(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.path, problem.text) for problem in problems]


def question(
    name: str | None = None,
    *,
    user: Somebody = ANONYMOUS,
    source: str = "192.168.7.7",
    listener: str = "main",
    command: str = "connect",
    port: int = 443,
    tag: str = "",
) -> Question:
    """Make a question; by default C{anonymous} asks to connect to a literal."""
    asker = Asker(user, Address.parse(source), listener, tag=tag)
    return Question(asker, command, name, port)


def judge(
    rules: Ruleset | str, address: str, asked: Question | None = None
) -> tuple[bool, str]:
    """Judge an address: whether it is allowed, and by which rule."""
    if isinstance(rules, str):
        rules = ruleset(rules)
    verdict: Verdict = rules.judge(asked or question(), Address.parse(address))
    return verdict.allowed, verdict.rule


def texts(decision: Decision) -> list[str]:
    return [address.text for address in decision.addresses]


ALL = '[[rule]]\nid = "all"\nallow = "any"\n'


def rule(identifier: str, *lines: str) -> str:
    """One [[rule]]; it allows everything unless a line says what it does."""
    what = "" if any(x.startswith(("allow", "deny")) for x in lines) else 'allow="any"'
    return "\n".join(["[[rule]]", f'id = "{identifier}"', what, *lines, ""])
