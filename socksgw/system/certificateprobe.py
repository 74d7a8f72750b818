"""
What is good, and what will not be for long, in certificates, CRLs and keytabs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Literal

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from socksgw.system.keytab import keysIn, toldKeys, withoutAES

__all__ = ["Said", "ofAuthorities", "ofChain", "ofKeytab", "ofRevocations"]

#: Seconds before the end of a certificate, and of a CRL, in which that is told.
_SOON: Final = 14 * 86_400.0
_SOON_CRL: Final = 86_400.0
_DAY: Final = 86_400.0

#: What helps where a certificate expires.
_RENEW: Final = "renew it: the gateway reads the new file by itself"
#: What is said, the state, and the remedy: as of an C{Answer}.
Said = tuple[str, Literal["ok", "warning", "failed"], str]


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _validity(
    certificate: x509.Certificate, now: float, what: str, renew: str = _RENEW
) -> Iterator[Said]:
    begins = certificate.not_valid_before_utc.timestamp()
    ends = certificate.not_valid_after_utc.timestamp()
    if now > ends:
        yield f"{what} has expired, on {_date(ends)}", "failed", renew
    elif now < begins:
        yield (
            f"{what} is not valid before {_date(begins)}",
            "failed",
            "compare the clocks",
        )
    elif ends - now < _SOON:
        days = int((ends - now) / _DAY)
        yield f"{what} expires in {days} days, on {_date(ends)}", "warning", renew


def _named(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        found = [str(each.value) for each in names]
    except (ValueError, x509.ExtensionNotFound):
        found = []
    return ", ".join(found[:4]) or certificate.subject.rfc4514_string() or "nobody"


def ofChain(
    chain: Sequence[x509.Certificate], server: bool, now: float
) -> Iterator[Said]:
    """
    Judge a certificate of our own, and those between it and its root.

    That its key is the right one was seen when the files were read.

    @param server: whether it is shown to clients, and not to a server.
    @param now: seconds since the epoch.
    """
    leaf = chain[0]
    wrong = list(_validity(leaf, now, "it"))
    for each in chain[1:]:
        wrong += _validity(each, now, f'the intermediate "{_issuer(each.subject)}"')
    for lower, upper in pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except Exception:
            # The library raises several kinds: each says that this is no chain.
            wrong.append((
                f'"{_issuer(upper.subject)}", which follows in the file, has not issued '
                f'"{_issuer(lower.subject)}"',
                "failed",
                "put the certificate first, then each issuer after what it has issued",
            ))  # fmt: skip
            break
    usage = (
        ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    )
    if not _isFor(leaf, usage):
        who = "servers" if server else "clients"
        wrong.append((
            f"it is not for {who} (extendedKeyUsage)", "failed", f"issue one for {who}"
        ))  # fmt: skip
    yield from wrong
    if not any(state == "failed" for _, state, _ in wrong):
        ends = leaf.not_valid_after_utc.timestamp()
        last = chain[-1]
        by = (
            "self-signed"
            if last.issuer == last.subject and len(chain) == 1
            else f'issued by "{_issuer(last.issuer)}"'
        )
        yield f"for {_named(leaf)}, {by}, until {_date(ends)}; its key fits", "ok", ""


def _issuer(name: x509.Name) -> str:
    return name.rfc4514_string()


def _isFor(leaf: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return usage in found or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in found


def ofAuthorities(found: Sequence[x509.Certificate], now: float) -> Iterator[Said]:
    """Judge a file of authorities that are believed."""
    wrong = [
        said
        for each in found
        for said in _validity(
            each,
            now,
            f'the authority "{_issuer(each.subject)}"',
            "add the new one to the file, and reload",
        )
    ]
    if len([1 for _, state, _ in wrong if state == "failed"]) < len(found):
        # One that has expired harms nobody while others are good.
        wrong = [(said, "warning", remedy) for said, _, remedy in wrong]
    yield from wrong
    if not wrong:
        yield f"{len(found)} authorities, none of which expires soon", "ok", ""


def ofRevocations(
    lists: Sequence[x509.CertificateRevocationList], now: float
) -> Iterator[Said]:
    """Judge lists of revoked certificates."""
    for each in lists:
        issuer = _issuer(each.issuer)
        until = each.next_update_utc
        assert until is not None
        ends = until.timestamp()
        again = "fetch a new one: the gateway reads the new file by itself"
        if now > ends:
            yield (
                f'the CRL of "{issuer}" is stale since {_date(ends)}: no client '
                "certificate of its is accepted",
                "failed",
                again,
            )
        elif ends - now < _SOON_CRL:
            yield (
                f'the CRL of "{issuer}" is stale from {_date(ends)} on',
                "warning",
                again,
            )
        else:
            yield f'the CRL of "{issuer}" is good until {_date(ends)}', "ok", ""


def ofKeytab(octets: bytes) -> Iterator[Said]:
    """Judge a keytab: whose keys it has, and whether they are of AES."""
    try:
        keys = keysIn(octets)
    except ValueError as e:
        yield f"it {e}", "failed", "export it again (socksgw help activedirectory)"
        return
    if not keys:
        yield "it has no key", "failed", "export it again (kadmin's ktadd, say)"
        return
    weak = withoutAES(keys)
    if weak:
        yield (
            f"{toldKeys(keys)}: {', '.join(weak)} has no key of AES, and what a KDC "
            "issues today is of AES",
            "warning",
            "export the keytab again, with AES: in Active Directory by the account's "
            "name, not by its SPN, with msDS-SupportedEncryptionTypes = 24 (socksgw "
            "help activedirectory)",
        )
    else:
        yield toldKeys(keys), "ok", ""
