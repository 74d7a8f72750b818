"""
Deciders, the Redis of a cluster, and the collector of metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from socksgw.config.schema import Config
from socksgw.gateway.examination import Examination
from socksgw.gateway.probing.asking import Asking, Probe
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.system.redisserver import RedisFailed, addressIn

__all__ = ["serviceProbes"]

#: A question that no client asks (RFC 6761 section 6.4).
_QUESTION: Final[dict[str, Any]] = {
    "user": "anonymous",
    "groups": [],
    "method": "none",
    "tag": "",
    "source": "192.0.2.1",
    "listener": "",
    "secured": "clear",
    "command": "connect",
    "name": "socksgw-probe.invalid",
    "addresses": [],
    "port": 1,
    "application": None,
    "server_name": None,
    "rule": "socksgw-probe",
    "ticket": "",
}
#: A script that changes nothing; not every user may see what it returns.
_SCRIPT: Final = """
local said = redis.pcall('INFO')
return type(said) == 'string' and said or ''
"""
_SINCE: Final = (6, 2)
#: What Redis says, and what helps.
_REMEDIES: Final = (
    ("WRONGPASS", "user or password is wrong", "correct user and password_file"),
    ("invalid username-password", "user or password is wrong",
     "correct user and password_file"),
    ("invalid password", "the password is wrong", "correct password_file"),
    ("NOAUTH", "it wants a password", "name one: password_file"),
    ("Authentication required", "it wants a password", "name one: password_file"),
    ("NOPERM", "the user may not run scripts", "give it +@scripting and its keys"),
    ("no permissions", "the user may not run scripts", "give it +@scripting and its keys"),
    ("DB index", "it has no database of that number", "correct the number in url"),
    ("CERTIFICATE_VERIFY", "its certificate is not accepted", "correct ca, or url"),
    ("WRONG_VERSION", "it speaks no TLS on this port", "use redis://, or its TLS port"),
    ("Connection refused", "nothing accepts connections there",
     "is it running, and is the port right?"),
    ("Connection closed", "it closes the connection", "does it want TLS: rediss://?"),
    ("Timeout", "no answer in time", "does it run, and may this host reach it?"),
    ("timed out", "no answer in time", "does it run, and may this host reach it?"),
    ("Name or service", "its name has no address", "check the name"),
    ("No such file", "there is no such socket", "correct the path in url"),
)  # fmt: skip


def serviceProbes(
    config: Config, found: Examination, asking: Asking
) -> Iterator[Probe]:
    """Yield the services that are asked by HTTP, and Redis."""
    for i, table in enumerate(config.decider):
        decider: Any = found.deciders[table.name]
        yield Probe(f"decider[{i}]", table.name, partial(_decider, decider, table.url))
    if config.cluster is not None:
        address = str(addressIn(config.cluster.url))

        async def redis() -> list[Answer]:
            return await asking.aside(partial(_redis, config, address))

        yield Probe("cluster.url", f"Redis at {address}", redis)
    if (otlp := config.metrics.otlp) is not None:

        async def collector() -> list[Answer]:
            return await asking.aside(partial(_collector, config))

        yield Probe("metrics.otlp", otlp.url, collector)


async def _decider(decider: Any, url: str) -> list[Answer]:
    opinion = await decider.ask(_QUESTION)
    if opinion.failed:
        said, _, remedy = opinion.why.partition("; ")
        raise ProbeFailed(said, remedy or "see socksgw help decider, and its own log")
    if "no result" in opinion.why:
        raise ProbeFailed(opinion.why, "correct the path of url, or its policy")
    word = "allows" if opinion.allowed else "denies"
    why = f" ({opinion.why})" if opinion.why else ""
    return [Answer(url, f"answers: it {word} a request that nobody makes{why}")]


def _redis(config: Config, address: str) -> list[Answer]:
    from socksgw.gateway.cluster import serverOf

    assert config.cluster is not None
    server = serverOf(config, config.cluster)
    try:
        # The rights of its user may end at the cluster's own keys.
        key = f"{{socksgw:{config.cluster.name}}}"
        said = server.run(_SCRIPT, key, b"").decode("utf-8", "replace")
    except RedisFailed as e:
        for mark, words, remedy in _REMEDIES:
            if mark.lower() in str(e).lower():
                raise ProbeFailed(words, remedy) from None
        raise ProbeFailed(str(e)) from None
    finally:
        server.close()
    lines = (line.partition(":") for line in said.splitlines())
    told = {name: value.strip() for name, _, value in lines}
    version = told.get("redis_version", "")
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdecimal())
    if numbers and numbers < _SINCE:
        raise ProbeFailed(f"it is of version {version}", "6.2 is needed, or later")
    what, text = f"Redis at {address}", "answers, and runs scripts"
    if not version:
        return [Answer(what, f"{text}; its version is not for this user: +info")]
    policy = told.get("maxmemory_policy", "")
    if told.get("maxmemory", "0") != "0" and policy != "noeviction":
        text += f", and drops what is counted when its memory is full ({policy})"
        return [Answer(what, text, "warning", "set maxmemory-policy to noeviction")]
    return [Answer(what, f"{text}; version {version}")]


def _collector(config: Config) -> list[Answer]:
    from socksgw.system.blockingtls import clientContext
    from socksgw.system.files import readFile
    from socksgw.system.posting import NotPosted, Poster, placeOf

    otlp = config.metrics.otlp
    assert otlp is not None
    place = placeOf(otlp.url)
    ca = readFile(config.directory / otlp.ca) if otlp.ca else b""
    context = clientContext(ca, b"", b"") if place.secure else None
    poster = Poster(place, {"User-Agent": "socksgw"}, context, False)
    try:
        status = poster.look()
    except NotPosted as e:
        raise ProbeFailed(str(e), "check the URL, and ca where it is https") from None
    finally:
        poster.close()
    said = f"answers (status {status} to GET; metrics are sent by POST)"
    return [Answer(otlp.url, said)]
