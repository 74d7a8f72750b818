"""
The tables about login: methods, checkers, the throttle, groups.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from socksgw.config.convert import Duration
from socksgw.config.schema.values import Words

__all__ = ["AuthConfig", "Checker", "Choose", "Group", "Throttle"]


@frozen
class Choose:
    """
    Which methods a client is offered.

    The first entry that matches the client decides. A client that matches none is
    refused.

    @ivar methods: The methods, in order of preference. C{socksgw plugins} lists
        those that are installed. With C{"none"} the user is C{anonymous}.
    @ivar listener: Names of listeners. Absent: every listener.
    @ivar from_: Addresses of clients: networks, entries of C{[networks]}, built-in
        names. Absent: every address.
    @ivar cleartext_passwords: C{true}: passwords may cross a network without TLS.
        Needed for methods that show them, on listeners that other hosts reach.
    @ivar protection: Levels of protection that are accepted here, of a method that
        has levels. Only takes away from those of the method's own table. Absent:
        those.
    """

    methods: tuple[str, ...]
    listener: tuple[str, ...] | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})
    cleartext_passwords: bool = False
    protection: tuple[str, ...] | None = None


@frozen
class Checker:
    """
    A store of users with several options.

    It is asked after C{auth.checkers}, in the order of the file, until one says yes.
    Which other keys there are depends on C{kind}: C{socksgw help auth.checker.jwt}.

    @ivar kind: The kind of the store: C{"ldap"}, C{"http"}, C{"pam"}, C{"jwt"}, or
        one of a plug-in.
    @ivar name: The name in the journal. Absent: its kind.
    """

    kind: str
    name: str = ""
    #: What else the table holds; the checker's own factory says what may be there.
    options: Mapping[str, Any] = field(factory=dict, metadata={"toml": "*"})


@frozen
class Throttle:
    """
    Bounds on failed logins.

    Beyond them, what the source tries is refused without being checked.

    @ivar per_user: Failed logins of one source with one name. C{0}: no bound. Stay
        below the threshold at which the directory locks accounts.
    @ivar per_source: Failed logins of one source (an IPv4 address, or an IPv6 /64).
        C{0}: no bound.
    @ivar window: The time in which failures count, and for which tries are refused.
    """

    per_user: int = 10
    per_source: int = 50
    window: Duration = Duration(60)


@frozen
class AuthConfig:
    """
    Login.

    @ivar checkers: Stores of users, as Twisted's strcred strings:
        C{"passwd:/etc/socksgw/users"} for hashes made by C{socksgw passwd},
        C{"secrets:FILE"} for the method C{chap}. C{twistd socksgw --help-auth}
        lists the kinds.
    @ivar cache: How long a login that succeeded is remembered.
    @ivar tag_separator: The character between the name of a user and a tag, as in
        C{alice+job-4711}: the tag is recorded, and C{tag} of a rule and C{per = "tag"}
        of a limit go by it. No name may have that character. Empty: there are no tags.
    @ivar strip_realms: Kerberos realms that are cut from names; case counts. Names
        of other realms keep theirs.
    @ivar kerberos_names: How Kerberos names are spelled that no directory is asked
        about. C{"lower"}: in lower case. C{"exact"}: as the ticket has them, for a
        KDC to which C{Alice} and C{alice} are two people.
    @ivar groups_refresh: How long a directory's answer about a user's groups counts.
        Then it is asked again about users who have sessions.
    @ivar groups_hold: How long the last answer counts while the directory cannot be
        asked. After that the user's groups are not known: an C{allow} by group does
        not match, a C{deny} does, and a C{[[limit]]} per group counts the user in
        each.
    """

    checkers: tuple[str, ...] = ()
    cache: Duration = Duration(60)
    tag_separator: str = ""
    choose: tuple[Choose, ...] = ()
    checker: tuple[Checker, ...] = ()
    strip_realms: tuple[str, ...] = ()
    kerberos_names: Literal["lower", "exact"] = "lower"
    groups_refresh: Duration = Duration(300)
    groups_hold: Duration = Duration(3600)
    throttle: Throttle = Throttle()
    #: The methods' own tables, by their names.
    settings: Mapping[str, Mapping[str, Any]] = field(
        factory=dict, metadata={"toml": "*", "only": dict}
    )


@frozen
class Group:
    """
    A group for C{who = ["@NAME"]}: an array of users, or a table with these keys.

    @ivar members: Names of users.
    @ivar directory: The directory's names of groups; their members are members of
        this one.
    @ivar sid: Security identifiers of groups of Active Directory, such as
        C{"S-1-5-21-1004336348-1177238915-682003330-1105"}: they stay the same when a
        group is renamed or moved. Their members are members of this one.
    @ivar token: Names of groups in tokens, where C{groups_claim} finds them, with the
        C{prefix} of their C{[[auth.checker]]}; their bearers are members.
    """

    members: tuple[str, ...] = ()
    directory: tuple[str, ...] = ()
    sid: Words = ()
    token: tuple[str, ...] = ()

    @property
    def inDirectory(self) -> tuple[str, ...]:
        """Return the names of its parts in directories, of both kinds."""
        return (*self.directory, *self.sid)
