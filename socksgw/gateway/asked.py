"""
The facts of a question that somebody asks: C{socksgw explain}, and the admin interface.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from socksgw.config.problems import nearest
from socksgw.config.schema import Config
from socksgw.config.userwords import userWord
from socksgw.gateway.examining.rules import wrongApplications
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.policy.expectations import wrongFacts
from socksgw.policy.facts import Facts, destination, groupsOf, tagOf, unsureOf
from socksgw.wire.address import Address

__all__ = ["factsAsked"]


def _address(option: str, text: str) -> Address:
    """
    Read the address that an option gives.

    @raise ValueError: it is not an address.
    """
    try:
        return Address.parse(text)
    except ValueError:
        raise ValueError(
            f'--{option} "{text}": not an IPv4 or IPv6 address, such as 10.0.1.7 or '
            "2001:db8::7"
        ) from None


def factsAsked(options: Any, config: Config) -> Facts:
    """
    Return the facts that the options give.

    @param options: has them as attributes, C{from} as C{source}.

    @raise ValueError: an option's value cannot be; the text names the option.
    """
    host, port = destination(options.destination, options.command)
    addresses = tuple(_address("resolving-to", each) for each in options.resolving_to)
    source = None if options.source is None else _address("from", options.source)
    at = time.time()
    if options.at is not None:
        try:
            moment = datetime.fromisoformat(options.at)
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            raise ValueError(
                f'--at "{options.at}": needs date, time and offset, such as '
                "2026-03-02T10:00:00+01:00"
            )
        at = moment.timestamp()
    methods = findMethods()[0]
    if options.method not in (None, *methods):
        known = ", ".join(sorted(methods))
        raise ValueError(
            f'--method: there is no method "{options.method}"; installed are: {known}'
            + nearest(options.method, methods)
        )
    for key, why in wrongFacts(
        config,
        options.user,
        options.group,
        options.listener,
        options.method,
        options.secured,
        options.tag,
        {name: capabilitiesOf(method) for name, method in methods.items()},
    ):
        option = {"who": "user", "groups": "group"}.get(key, key)
        raise ValueError(f"--{option}: {why}")
    for why in wrongApplications(
        () if options.application is None else (options.application,)
    ):
        raise ValueError(f"--application: {why}")
    user = userWord(options.user).text
    return Facts(
        user=user,
        groups=groupsOf(user, config.groups, frozenset(options.group)),
        command=options.command,
        name=host if isinstance(host, str) else None,
        port=port,
        addresses=(host,) if isinstance(host, Address) else addresses,
        method=options.method,
        source=source,
        listener=options.listener,
        secured=options.secured,
        at=at,
        unsure=unsureOf(user, config, options.group or None),
        tag=tagOf(user, config, options.tag),
        application=options.application,
        serverName=options.server_name,
    )
