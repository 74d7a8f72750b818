"""
The table of services that are asked about what the rules allow.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = ["Decider"]


@frozen
class Decider:
    """
    A service that may deny what the rules allow.

    It is asked by HTTP, as an Open Policy Agent is, and only after a rule has allowed
    the request. It is asked about what C{decider} of a rule names it for, and about
    what C{rule} and C{listener} here say.

    @ivar name: The name, for rules and the record.
    @ivar url: What is asked by POST: C{"https://opa.corp.example/v1/data/socksgw/allow"}.
    @ivar socket: The Unix socket of the service, in place of the host and the port of
        C{url}.
    @ivar rule: Ids of rules that allow. It is asked about all that they allow.
    @ivar listener: Names of listeners. It is asked about sessions of these only, and,
        where C{rule} is absent, about all that any rule allows them.
    @ivar timeout: How long an answer may take, the time in the queue included; at most
        C{"60s"}.
    @ivar on_failure: What happens when there is no answer that can be understood.
        C{"deny"}: it is denied. C{"allow"}: the rules alone decide, and the record says
        so.
    @ivar token_file: The file of a bearer token that is sent with each question; nobody
        else may read it.
    @ivar ca: The file of the authorities that sign the service's certificate. Absent:
        those that the system trusts.
    @ivar cleartext: C{true}: it may be asked without TLS across a network. Otherwise
        that is for loopback and for C{socket}.
    @ivar cache: How long an answer counts for the same question; at most C{"5m"}.
        C{"0s"}: each session is asked about.
    @ivar connections: Questions at a time, each on a connection that is kept; 1 to 64.
        256 more wait at most.
    """

    name: str
    url: str
    socket: str = ""
    rule: tuple[str, ...] | None = None
    listener: tuple[str, ...] | None = None
    timeout: Duration = Duration(2)
    on_failure: Literal["deny", "allow"] = "deny"
    token_file: str = ""
    ca: str = ""
    cleartext: bool = False
    cache: Duration = Duration(0)
    connections: int = 8
