"""
Upstreams that are given the passwords of clients.
"""

from __future__ import annotations

from typing import Final

from socksgw.config.schema import Config
from socksgw.config.upstreamurl import parseUpstreamURL
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.upstreamclients import keepsSecrets, ledTo

__all__ = ["examinePassing"]

#: Protocols in which a proxy can ask for a password.
_ASKING: Final = ("socks5", "socks6", "http")


def examinePassing(config: Config, problems: Problems) -> None:
    """
    Examine every C{pass_through}.

    Its password must be able to reach the upstream, and no one else.
    """
    later = ledTo(config)
    for i, upstream in enumerate(config.upstream):
        if not upstream.pass_through:
            continue
        try:
            url = parseUpstreamURL(upstream.url)
        except ValueError:
            # It is reported where it stands.
            continue
        path = f"upstream[{i}].pass_through"
        if url.protocol not in _ASKING:
            problems.wrong(path, f"{url.protocol} has no passwords")
        elif not keepsSecrets(upstream, url, upstream.name in later):
            problems.wrong(
                path,
                "would send passwords in clear: the upstream needs TLS, a literal "
                "loopback address in the first place of via, or "
                "cleartext_passwords = true",
            )
        if upstream.check is not None and upstream.check.target:
            problems.wrong(
                f"upstream[{i}].check.target",
                "needs a login, and a check has no client whose password there is",
            )
