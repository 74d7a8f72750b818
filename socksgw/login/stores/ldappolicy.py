"""
What a directory says of a password beside the result of a bind.

OpenLDAP and 389-ds accept the password that an administrator has given, and forbid
everything but to change it: the result is success. The state of the account is in a
control that the client has to ask for (draft-behera-ldap-password-policy-10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ldaptor.protocols import pureber

__all__ = ["CONTROL", "MUST_CHANGE", "stateIn"]

#: The control, of the request and of the response (sections 6.1 and 6.2).
CONTROL: Final = b"1.3.6.1.4.1.42.2.27.8.5.1"
#: Of a password that is right, and good for nothing but to be changed.
MUST_CHANGE: Final = "password-must-change"
#: The errors that a bind has (section 8.1.2), as words of the journal.
_STATES: Final = {
    0: "password-expired",
    1: "account-locked",
    2: MUST_CHANGE,
}


class _Tags(pureber.BERDecoderContext):  # type: ignore[misc]
    """The tags of the value: the warning's two numbers, the error, the warning."""

    Identities: Final = {
        pureber.CLASS_CONTEXT: pureber.BERInteger,
        pureber.CLASS_CONTEXT | 1: pureber.BEREnumerated,
        pureber.CLASS_CONTEXT | pureber.STRUCTURED: pureber.BERSequence,
    }


_VALUE: Final = _Tags(fallback=pureber.BERDecoderContext())


def stateIn(controls: Iterable[tuple[bytes, Any, Any]] | None) -> str:
    """
    Return the state of an account, as a word of the journal; empty if none is told.

    @param controls: of the answer to a bind: type, criticality and value of each.
    @raise Exception: the value is malformed, in whatever way the library tells.
    """
    for kind, _, value in controls or ():
        if kind == CONTROL:
            decoded, _ = pureber.berDecodeObject(_VALUE, value)
            for part in decoded:
                if isinstance(part, pureber.BEREnumerated):
                    return _STATES.get(part.value, "")
    return ""
