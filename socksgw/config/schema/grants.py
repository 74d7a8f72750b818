"""
The tables of grants: what may be allowed for a while, beside the rules.
"""

from attrs import field, frozen

from socksgw.config.convert import Duration
from socksgw.config.schema.values import Commands, Port, Words

__all__ = ["GrantAsked", "GrantTemplate", "Grants"]


@frozen
class GrantTemplate:
    """
    What grants may allow: each of them allows a part of what one of these does.

    What a request leaves out is as it is here.

    @ivar id: The name, for people.
    @ivar allow: As C{allow} of a rule.
    @ivar who: As of a rule.
    @ivar from_: As of a rule.
    @ivar listener: As of a rule.
    @ivar to: As of a rule. Absent: every destination that is not in C{[never]}.
    @ivar resolving_to: As of a rule.
    @ivar ports: As of a rule.
    @ivar services: As of a rule.
    @ivar secured: As of a rule.
    @ivar method: As of a rule.
    @ivar tag: As of a rule.
    @ivar like: The id of a rule: what a grant allows leaves as what that allows, has
        its time-outs and replies of UDP, and the same deciders are asked about it.
    @ivar longest: Instead of C{grants.longest}.
    @ivar approvers: Instead of C{grants.approvers}.
    """

    id: str
    allow: Commands = ("connect",)
    who: tuple[str, ...] | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})
    listener: tuple[str, ...] | None = None
    to: tuple[str, ...] | None = None
    resolving_to: tuple[str, ...] | None = None
    ports: tuple[Port, ...] | None = None
    services: tuple[str, ...] | None = None
    secured: Words | None = None
    method: Words | None = None
    tag: Words | None = None
    like: str = ""
    longest: Duration | None = None
    approvers: tuple[str, ...] | None = None


@frozen
class Grants:
    """
    Grants: rules with an end, that two people make while the gateway runs.

    @ivar approvers: Who may approve: C{"uid:1000"} for a user of this machine on a Unix
        socket, C{"token:noc"} for an C{[[admin.token]]}. Absent: whoever may operate.
        Nobody approves a request of their own.
    @ivar longest: How long a grant may last.
    @ivar wait: How long a request waits to be approved.
    @ivar ticket_pattern: A regular expression that a whole ticket matches, such as
        C{"INC-[0-9]+"}. Absent: any text of up to 64 characters.
    @ivar may: What may be granted.
    """

    approvers: tuple[str, ...] | None = None
    longest: Duration = Duration(8 * 3600)
    wait: Duration = Duration(86400)
    ticket_pattern: str = ""
    may: tuple[GrantTemplate, ...] = ()


@frozen
class GrantAsked:
    """
    A grant as it is asked for; the fields that a rule has mean the same.

    @ivar for_: how long it is to last from its approval.
    @ivar why: the reason, for who approves it.
    """

    who: tuple[str, ...]
    to: tuple[str, ...]
    for_: Duration = field(metadata={"toml": "for"})
    ticket: str
    why: str = ""
    allow: Commands | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})
    listener: tuple[str, ...] | None = None
    resolving_to: tuple[str, ...] | None = None
    ports: tuple[Port, ...] | None = None
