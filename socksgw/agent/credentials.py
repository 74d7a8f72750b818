"""
A look at the user's own credentials, before the gateway is asked about them.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from socksgw.agent.settings import Settings
from socksgw.agent.trouble import Trouble
from socksgw.system.files import FileError, readFile, readSecret

__all__ = ["isMissing", "troubleWith"]

#: Codes of RFC 2744 section 3.9.1, as far as GSSAPI can say them of a user's tickets.
_NO_CREDENTIALS: Final = 7 << 16
_EXPIRED: Final = 11 << 16
#: Kinds of trouble with which a gateway starts all the same.
_THERE: Final = frozenset(
    {"no-kerberos", "no-ticket", "ticket", "ticket-expired"}
    | {
        f"{what}-{when}"
        for what in ("token", "certificate")
        for when in ("expired", "early")
    }
)


def isMissing(trouble: Trouble) -> bool:
    """
    Tell whether there is no file to log in with, or it cannot be used at all.

    Tickets are in no file of the settings, and what has expired can be read.
    """
    return trouble.kind not in _THERE


def troubleWith(settings: Settings, now: float) -> Trouble | None:
    """
    Return why the user cannot log in anywhere; L{None} if nothing is known.

    It reads files and asks the Kerberos library, and may block for a moment.

    @param now: seconds since the epoch.
    """
    found = None
    if settings.method == "kerberos":
        found = _ofTickets(settings.user)
    elif settings.method == "token":
        found = _ofToken(settings.token_file, now)
    elif settings.password_file:
        found = _ofSecret("password", settings.password_file)
    if found is None and settings.certificate:
        found = _ofCertificate(settings, now)
    return found


def _ofTickets(user: str) -> Trouble | None:
    try:
        import gssapi
        from gssapi.raw.misc import GSSError
    except (ImportError, OSError) as e:
        return Trouble(
            "no-kerberos",
            f"the Kerberos library cannot be used ({e})",
            "install it: pip install 'socksgw[gssapi]'",
        )
    try:
        mechs = [gssapi.MechType.kerberos]
        name = gssapi.Name(user, gssapi.NameType.user) if user else None
        found = gssapi.Credentials(name=name, usage="initiate", mechs=mechs)
        left = found.lifetime
    except GSSError as e:
        if e.maj_code == _EXPIRED:
            return _expired()
        if e.maj_code == _NO_CREDENTIALS:
            why = "there is no Kerberos ticket"
            if e.min_code:
                said = " ".join(e.get_all_statuses(e.min_code, False))
                _, bracket, place = said.partition("(default cache: ")
                why += f" in {place.rstrip(')')}" if bracket else ""
            return Trouble("no-ticket", why, "get one with kinit")
        said = " ".join(" ".join(e.get_all_statuses(e.maj_code, True)).split())
        return Trouble("ticket", f"the Kerberos library says: {said}", "see klist")
    return None if left is None or left > 0 else _expired()


def _expired() -> Trouble:
    return Trouble(
        "ticket-expired", "the Kerberos ticket has expired", "get one with kinit"
    )


def _unread(what: str, path: str, error: Exception) -> Trouble:
    if isinstance(error, FileNotFoundError):
        return Trouble(
            f"no-{what}", f"{path}: there is no such file", f"put the {what} there"
        )
    if isinstance(error, OSError):
        return Trouble(
            f"{what}-unreadable",
            f"{path}: {error.strerror}",
            "make it readable for you",
        )
    # Its text has the path and the remedy.
    text, _, remedy = str(error).partition("; ")
    return Trouble(f"{what}-unsafe", text, remedy.removeprefix("remedy: "))


def _ofSecret(what: str, path: str) -> Trouble | None:
    try:
        octets = readSecret(Path(path))
    except (OSError, FileError) as e:
        return _unread(what, path, e)
    if not octets.strip():
        return Trouble(f"no-{what}", f"{path}: is empty", f"put the {what} there")
    return None


def _ofToken(path: str, now: float) -> Trouble | None:
    found = _ofSecret("token", path)
    if found is None:
        claims = _claims(readSecret(Path(path)).strip())
        end, begin = claims.get("exp"), claims.get("nbf")
        if isinstance(end, int | float) and end <= now:
            what = f"the token in {path} has expired at {_moment(end)}"
            return Trouble("token-expired", what, "get another")
        if isinstance(begin, int | float) and begin > now:
            what = f"the token in {path} is not valid before {_moment(begin)}"
            return Trouble("token-early", what, "is this machine's clock right?")
    return found


def _claims(token: bytes) -> dict[str, Any]:
    """
    Return what a token says, unverified; nothing where it is none of RFC 7519.
    """
    parts = token.split(b".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _ofCertificate(settings: Settings, now: float) -> Trouble | None:
    path = settings.certificate
    try:
        mine = x509.load_pem_x509_certificates(readFile(Path(path)))[0]
    except (OSError, FileError) as e:
        return _unread("certificate", path, e)
    except ValueError:
        what = f"{path}: has no certificate in PEM"
        return Trouble("no-certificate", what, "put the certificate there")
    if mine.not_valid_after_utc.timestamp() < now:
        what = f"the certificate {path} has expired at {mine.not_valid_after_utc}"
        return Trouble("certificate-expired", what, "get another")
    if mine.not_valid_before_utc.timestamp() > now:
        what = f"the certificate {path} is not valid before {mine.not_valid_before_utc}"
        return Trouble("certificate-early", what, "is this machine's clock right?")
    return _ofSecret("key", settings.key) if settings.key else None


def _moment(seconds: float) -> str:
    try:
        return str(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds after 1970"
