"""
The schema of the admin interface.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.schema.values import Words

__all__ = ["AdminConfig", "AdminToken", "Public", "Role"]

Role = Literal["read", "operate"]
Public = Literal["health", "metrics"]


@frozen
class AdminToken:
    """
    One who may ask the admin interface, whoever knows the token.

    @ivar name: The name for the journal.
    @ivar file: The file of the token, in one line, which nobody else may read; at
        least 16 octets. It is read again when it changes.
    @ivar roles: C{"read"}: look at everything. C{"operate"}: also end sessions, reload,
        drain.
    """

    name: str
    file: str
    roles: tuple[Role, ...] = ("read",)


@frozen
class AdminConfig:
    """
    The admin interface: live sessions, health, reload and drain, over HTTP.

    It is served where this table stands, even an empty one. Root and the gateway's own
    user may do everything at a Unix socket; others, and everybody at a port, need a
    token.

    @ivar endpoint: Where it is served, in one place or several:
        C{"unix:/run/socksgw/admin.sock"}, C{"unix:@name"}, C{"tcp:127.0.0.1:1081"}, or a
        Twisted server endpoint string with TLS. An address that other hosts reach needs
        TLS.
    @ivar mode: The mode of Unix sockets that have a path. Absent: C{"660"}.
    @ivar owner: The C{"user:group"} of the same. Absent: the gateway's own.
    @ivar hosts: Names, besides C{localhost} and addresses, by which clients may ask:
        browsers that a foreign page leads here ask by another one.
    @ivar public: What needs no token: C{"health"} is C{/healthz} and C{/readyz},
        C{"metrics"} is C{/metrics}.
    """

    endpoint: Words = ("unix:/run/socksgw/admin.sock",)
    mode: str = ""
    owner: str = ""
    hosts: tuple[str, ...] = ()
    public: tuple[Public, ...] = ("health",)
    token: tuple[AdminToken, ...] = ()
