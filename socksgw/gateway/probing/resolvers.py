"""
The name servers that look up names of destinations.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import dns.exception
import dns.message
import dns.query
import dns.rcode

from socksgw.config.schema import Config
from socksgw.gateway.probing.asking import Asking, Probe
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.route.nameserver import parseServer
from socksgw.route.resolvconf import readServers

__all__ = ["resolverProbes"]

#: What each is asked for: a name that is in no server's own zone, of which every server
#: has something to say.
_ROOT: Final = "."
_REMEDY: Final = "does it run, and may this host reach it by UDP?"


def resolverProbes(config: Config, asking: Asking) -> Iterator[Probe]:
    """Yield each server of C{[resolver]}, or of this host."""
    named = config.resolver.servers
    servers = [parseServer(each) for each in named]
    if not servers:
        servers = list(readServers().settings.servers)
    for i, (host, port) in enumerate(servers):
        place = f"resolver.servers[{i}]" if named else "resolver"
        what = f"name server {host}" + (f" port {port}" if port != 53 else "")

        async def ask(
            what: str = what, host: str = host, port: int = port
        ) -> list[Answer]:
            work = partial(_ask, what, host, port, asking.seconds)
            return await asking.aside(work)

        yield Probe(place, what, ask)


def _ask(what: str, host: str, port: int, seconds: float) -> list[Answer]:
    question = dns.message.make_query(_ROOT, "NS")
    try:
        answer = dns.query.udp(question, host, seconds, port, ignore_unexpected=True)
    except dns.exception.Timeout:
        raise ProbeFailed("no answer in time", _REMEDY) from None
    except dns.exception.DNSException as e:
        raise ProbeFailed(f"its answer is none: {type(e).__name__}") from None
    code = answer.rcode()
    if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
        said = "it refuses to look names up for this host"
        return [
            Answer(
                what, said, "warning", "it may do so for its own names: ask it for one"
            )
        ]
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        said = f"it answers, and cannot look up the root ({dns.rcode.to_text(code)})"
        return [Answer(what, said, "warning", "it may know its own names only")]
    return [Answer(what, "answers")]
