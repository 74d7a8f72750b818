"""
What an issuer of tokens answers: its keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from socksgw.interfaces import Answer, ProbeFailed
from socksgw.login.stores.keysource import KeySource
from socksgw.login.stores.remote import Unavailable

__all__ = ["askIssuer"]


async def askIssuer(keys: KeySource, issuer: str) -> Sequence[Answer]:
    """
    Fetch the keys.

    @param issuer: the claim C{iss} of its tokens.
    @raise ProbeFailed: there are none.
    """
    try:
        found = await keys.current()
    except Unavailable as e:
        said, _, remedy = e.why.partition("; ")
        raise ProbeFailed(
            said, remedy or "correct keys_url, ca or token_file"
        ) from None
    count, passed = len(found), found.skipped
    said = f"{count} key{'' if count == 1 else 's'} that can be used"
    if not count:
        raise ProbeFailed(
            f"none of its {passed} keys can be used", "see algorithms, and the issuer"
        )
    return [Answer(issuer, said + (f", and {passed} that cannot" if passed else ""))]
