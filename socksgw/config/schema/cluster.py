"""
The schema of a cluster: several gateways with one set of limits.
"""

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = ["ClusterConfig"]


@frozen
class ClusterConfig:
    """
    Other gateways that count together with this one; needs C{socksgw[redis]}.

    To begin or to leave off with this table takes effect at the next start; a change
    in it does at a reload.

    @ivar url: A Redis of version 6.2 or later that all members ask:
        C{"redis://redis.example:6379/0"}, C{rediss} for TLS, or
        C{"unix:///run/redis/redis.sock"}. It holds no password.
    @ivar members: The names of all members that run, this one's among them. A limit is
        divided by their number where Redis is out of reach.
    @ivar member: The name of this one; no two processes may have the same. Absent:
        C{gateway.name}.
    @ivar name: The name of the cluster; another one may use the same Redis.
    @ivar user: The user at Redis. Absent: its default one.
    @ivar password_file: The file of the password, in one line, which nobody else may
        read. It is read at each connection.
    @ivar ca: A file of the CAs of Redis' certificate. Absent: the system's. The name
        in C{url} has to be in the certificate.
    @ivar certificate: A file of the certificate that Redis is shown.
    @ivar key: The file of its key.
    @ivar ttl: How long leases are good without word from a member; C{"1s"} to C{"1m"}.
        All members have to say the same.
    @ivar timeout: How long Redis may take to answer; less than C{ttl}.
    """

    url: str
    members: tuple[str, ...]
    member: str = ""
    name: str = "socksgw"
    user: str = ""
    password_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    ttl: Duration = Duration(5)
    timeout: Duration = Duration(1)
