"""
What a decision service answers about a user who does not exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from socksgw.interfaces import Answer
from socksgw.login.stores.httpservice import JSONService
from socksgw.login.stores.remote import Unavailable

__all__ = ["askService"]


async def askService(
    service: JSONService, url: str, groupsURL: str
) -> Sequence[Answer]:
    """
    Ask whether a stranger is let in, and about the stranger's groups.

    @param groupsURL: empty where there is none.
    """
    stranger = f"socksgw-probe-{secrets.token_hex(8)}"
    question = {"user": stranger, "password": secrets.token_hex(16)}
    found = [await _asked(service, url, question, "allow")]
    if groupsURL:
        found.append(await _asked(service, groupsURL, {"user": stranger}, "known"))
    return found


async def _asked(
    service: JSONService, url: str, question: dict[str, str], member: str
) -> Answer:
    try:
        answer = await service.ask(url, question)
    except Unavailable as e:
        said, remedy = _words(e.why)
        return Answer(url, said, "failed", remedy)
    if answer.get(member) is True:
        said = {
            "allow": "lets in a user who does not exist, by any password",
            "known": "knows a user who does not exist",
        }[member]
        return Answer(url, said, "failed", "have it say false to whom it does not know")
    if answer.get(member) is not False:
        said = f'its answer has no "{member}" that is true or false'
        return Answer(url, said, "failed", "see socksgw help directories")
    said = {"allow": "refuses", "known": "does not know"}[member]
    return Answer(url, f"answers, and {said} a user who does not exist")


def _words(why: str) -> tuple[str, str]:
    status = why.removeprefix("status ")
    if status in ("401", "403"):
        return (
            f"refuses the gateway (status {status})",
            "correct the token in token_file, or name one",
        )
    if status == "404":
        return "has nothing at this path (status 404)", "correct the path of the URL"
    if status != why:
        return f"answers with status {status}", "see its own log"
    said, _, remedy = why.partition("; ")
    return said, remedy
