"""
A listener's TLS: its files, and whom it accepts; handshakes in memory.
"""

from __future__ import annotations

import base64
import itertools
import os
import random
import ssl
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from OpenSSL import SSL
from OpenSSL.crypto import Error, X509Store

from socksgw.accept import resumption
from socksgw.accept.certificates import ServerTLS, WrongTLS
from socksgw.accept.identity import BadName, CertificateIdentity, Unacceptable
from socksgw.config.schema import ListenTLS
from tests.live.servers import program
from tests.tools.certificates import (
    CLIENT,
    HOUR,
    SERVER,
    Authority,
    Issued,
    email,
    pemOf,
    pemOfKey,
    rawName,
    server,
)
from tests.tools.editors import EDITED, wide

ROOT = Authority()
BELOW = Authority("Below", ROOT)
STRANGER = Authority()
OWN = server(ROOT)
BOB = email("bob@partner.example")


class Place:
    """
    A directory with the files of a listener.

    @ivar now: the wall clock, for the gateway.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = time.time()
        OWN.write(directory, "gw")
        self.put("ca.pem", pemOf(ROOT.certificate))

    def put(self, name: str, octets: bytes) -> None:
        """Replace a file, as one should: by another."""
        new = self.directory / "new"
        new.touch(0o600)
        new.write_bytes(octets)
        os.replace(new, self.directory / name)

    def tls(self, **settings: Any) -> ServerTLS:
        """The TLS that wants a certificate, if nothing else is said."""
        settings = {
            "certificate": "gw.pem",
            "key": "gw.key",
            "client_ca": "ca.pem",
            "client_certificate": "required",
            **settings,
        }
        return ServerTLS(ListenTLS(**settings), self.directory, lambda: self.now)

    def wrong(self, **settings: Any) -> dict[str, str]:
        """What is wrong with a TLS that is."""
        with pytest.raises(WrongTLS) as caught:
            self.tls(**settings)
        return dict(caught.value.wrong)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def clientOf(issued: Issued | None, *, newest: int = SSL.TLS1_3_VERSION) -> Any:
    """A client in memory that shows this certificate."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(newest)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    if issued is not None:
        context.use_certificate(issued.certificate)
        for each in issued.chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(issued.key)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    return client


def shaken(tls: ServerTLS, client: Any) -> SSL.Connection:
    """
    The server's side of a handshake that is done.

    @raise SSL.Error: it failed.
    """
    ours = tls.connection()
    done: set[Any] = set()
    for _ in range(20):
        for each, other in ((client, ours), (ours, client)):
            try:
                each.do_handshake()
                done.add(each)
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(each.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
        if len(done) == 2:
            return ours
    raise AssertionError("the handshake does not end")


def known(tls: ServerTLS, issued: Issued | None) -> CertificateIdentity | None:
    """Who that is."""
    return tls.identityOf(shaken(tls, clientOf(issued)))


def refusal(tls: ServerTLS, issued: Issued | None) -> str:
    """Why nobody is let in by this certificate."""
    return refusalOf(tls, clientOf(issued))


def run(directory: Path, *command: str) -> None:
    """OpenSSL's program, which makes kinds of keys that our library does not."""
    made = [program("openssl", "openssl"), *command]
    done = subprocess.run(made, cwd=directory, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def pss(directory: Path, name: str, *request: str) -> None:
    """A key for RSA-PSS alone, and a request or a certificate for it."""
    bits = ("-pkeyopt", "rsa_keygen_bits:2048")
    run(directory, "genpkey", "-algorithm", "RSA-PSS", *bits, "-out", f"{name}.key")
    of = ("-key", f"{name}.key", "-out", f"{name}.pem")
    run(directory, "req", "-new", *of, *request)


def showing(directory: Path, name: str) -> Any:
    """A client in memory that shows the certificate of these files."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_file(str(directory / f"{name}.pem"))
    context.use_privatekey_file(str(directory / f"{name}.key"))
    client = SSL.Connection(context, None)
    client.set_connect_state()
    return client


def refusalOf(tls: ServerTLS, client: Any) -> str:
    """Why this client is not let in."""
    seen: list[SSL.Connection] = []
    made = tls.connection

    def connection() -> SSL.Connection:
        seen.append(made())
        return seen[-1]

    tls.connection = connection  # type: ignore[method-assign]
    try:
        with pytest.raises(SSL.Error) as caught:
            shaken(tls, client)
    finally:
        tls.connection = made  # type: ignore[method-assign]
    refused = seen[0].get_app_data()
    return refused.why if refused else str(caught.value)


# Whom it accepts.


def test_good(place: Place) -> None:
    """A name with the prefix, and an end; also by an intermediate CA."""
    tls = place.tls(prefix="partner/")
    for authority in (ROOT, BELOW):
        bob = authority.issue(BOB)
        found = known(tls, bob)
        assert found is not None
        assert found.username == b"partner/bob@partner.example"
        assert found.realm == ""
        assert found.expires == bob.certificate.not_valid_after_utc.timestamp()
        assert tls.objection(found) == ""


@pytest.mark.parametrize(
    ("issued", "why"),
    [
        (ROOT.issue(BOB, after=-timedelta(minutes=5)), "expired"),
        (ROOT.issue(BOB, before=HOUR), "not valid yet"),
        (STRANGER.issue(BOB), "not in client_ca"),
        (ROOT.issue(BOB, usage=(SERVER,)), "key usage"),
        (Issued(OWN.key, OWN.chain), "key usage"),
        # Without the intermediate there is no way to the root.
        (lambda bob: Issued(bob.key, bob.chain[:1]), "not in client_ca"),
        (None, "peer did not return a certificate"),
    ],
    ids=["expired", "early", "wrong-ca", "wrong-usage", "servers", "gap", "none"],
)
def test_bad(place: Place, issued: Any, why: str) -> None:
    """The handshake fails, and the reason is known."""
    if callable(issued):
        issued = issued(BELOW.issue(BOB))
    assert why in refusal(place.tls(), issued)


@pytest.mark.parametrize("usage", [(CLIENT, SERVER), ()])
def test_usages(place: Place, usage: tuple[Any, ...]) -> None:
    """A certificate for more than clients will do, or for nothing said."""
    assert known(place.tls(), ROOT.issue(BOB, usage=usage)) is not None


def test_keysForRSAPSS(tmp_path: Path) -> None:
    """
    A CA and clients whose keys are for RSA-PSS alone (RFC 4055 section 1.2): who
    has a certificate gets in, and who is revoked does not.
    """
    place = Place(tmp_path)
    root = ("-x509", "-subj", "/CN=root", "-addext", "keyUsage=keyCertSign,cRLSign")
    pss(tmp_path, "root", *root)
    for name in ("bob", "carol"):
        (tmp_path / "names").write_text(
            f"subjectAltName=email:{name}@partner.example\nextendedKeyUsage=clientAuth"
        )
        pss(tmp_path, name, "-subj", "/CN=x")
        issue = "x509 -req -CA root.pem -CAkey root.key -extfile names -CAcreateserial"
        run(tmp_path, *issue.split(), "-in", f"{name}.pem", "-out", f"{name}.pem")
    (tmp_path / "index").touch()
    (tmp_path / "ca").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=index\n")
    ca = [
        "ca",
        "-config",
        "ca",
        "-cert",
        "root.pem",
        "-keyfile",
        "root.key",
        "-md",
        "sha256",
    ]
    run(tmp_path, *ca, "-revoke", "carol.pem")
    run(tmp_path, *ca, "-gencrl", "-crldays", "1", "-out", "crl.pem")
    tls = place.tls(client_ca="root.pem", crl="crl.pem")
    identity = tls.identityOf(shaken(tls, showing(tmp_path, "bob")))
    assert identity is not None
    assert identity.username == b"bob@partner.example"
    assert "revoked" in refusalOf(tls, showing(tmp_path, "carol"))


def test_aCertificateIsNoAuthority(place: Place) -> None:
    """Who has one cannot make others."""
    bob = ROOT.issue(BOB)
    false = Authority("somebody")
    false.key, false.chain = bob.key, bob.chain
    assert refusal(place.tls(), false.issue(email("alice@partner.example")))


def test_names(place: Place) -> None:
    """No name, no identity; a bad one is refused."""
    tls = place.tls()
    assert known(tls, ROOT.issue()) is None
    with pytest.raises(BadName):
        known(tls, ROOT.issue(raw=rawName(0x81, b"bob@partner.example\0.evil")))


def test_optional(place: Place) -> None:
    """None is needed; a bad one is refused all the same."""
    tls = place.tls(client_certificate="optional")
    assert known(tls, None) is None
    assert known(tls, ROOT.issue(BOB)) is not None
    assert "not in client_ca" in refusal(tls, STRANGER.issue(BOB))


def test_off(place: Place) -> None:
    """What a client shows is not asked for."""
    tls = place.tls(client_certificate="off", client_ca="")
    assert known(tls, ROOT.issue(BOB)) is None


@pytest.mark.parametrize("edited", EDITED)
def test_filesOfAnyEditor(place: Place, edited: str) -> None:
    """A byte-order mark and other line ends change nothing, in none of the files."""
    place.put("crl.pem", ROOT.revoke() + BELOW.revoke())
    for name in ("gw.pem", "gw.key", "ca.pem", "crl.pem"):
        octets = EDITED[edited]((place.directory / name).read_bytes())
        place.put(name, octets)
    assert known(place.tls(crl="crl.pem"), BELOW.issue(BOB)) is not None


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca", "crl"])
def test_aWideFile(place: Place, key: str) -> None:
    """UTF-16 is no PEM, which is said of that file."""
    place.put("crl.pem", ROOT.revoke())
    names = {"certificate": "gw.pem", "key": "gw.key", "client_ca": "ca.pem"}
    name = names.get(key, "crl.pem")
    place.put(name, wide((place.directory / name).read_bytes()))
    assert "PEM" in place.wrong(crl="crl.pem")[key]


# Revocation.


def test_revoked(place: Place) -> None:
    """The CRL of each issuer counts: for the client, and for its CA."""
    bob, carol = BELOW.issue(BOB), BELOW.issue(email("carol@partner.example"))
    place.put("crl.pem", ROOT.revoke() + BELOW.revoke(bob.certificate))
    tls = place.tls(crl="crl.pem")
    assert "revoked" in refusal(tls, bob)
    assert known(tls, carol) is not None
    place.put("crl.pem", ROOT.revoke(BELOW.certificate) + BELOW.revoke())
    assert "revoked" in refusal(place.tls(crl="crl.pem"), carol)


def test_everyIssuerNeedsAList(place: Place) -> None:
    """Whose issuer says nothing is not accepted; nor by somebody else's list."""
    for lists in (ROOT.revoke(), ROOT.revoke() + STRANGER.revoke()):
        place.put("crl.pem", lists)
        tls = place.tls(crl="crl.pem")
        assert "no CRL" in refusal(tls, BELOW.issue(BOB))
        assert known(tls, ROOT.issue(BOB)) is not None


def test_stale(place: Place) -> None:
    """A list that should have been replaced lets nobody in, and that is told."""
    place.put("crl.pem", ROOT.revoke(until=-timedelta(minutes=5)))
    tls = place.tls(crl="crl.pem")
    assert "stale" in refusal(tls, ROOT.issue(BOB))
    ((key, why),) = tls.aged()
    assert (key, "stale" in why) == ("crl", True)


# Protocol.


def test_versions(place: Place) -> None:
    """TLS 1.2 and 1.3, nothing older."""
    tls = place.tls()
    bob = ROOT.issue(BOB)
    for newest in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
        shaken(tls, clientOf(bob, newest=newest))
    for newest in (SSL.TLS1_1_VERSION, SSL.TLS1_VERSION):
        with pytest.raises(SSL.Error):
            shaken(tls, clientOf(bob, newest=newest))


@pytest.mark.parametrize(
    "ciphers",
    [b"aNULL", b"eNULL", b"AES128-GCM-SHA256", b"ECDHE+AES:!AESGCM:!AESCCM", b"PSK"],
)
def test_ciphers(place: Place, ciphers: bytes) -> None:
    """No anonymous one, none without forward secrecy, no CBC."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(ciphers + b":@SECLEVEL=0")
    client = SSL.Connection(context, None)
    client.set_connect_state()
    with pytest.raises(SSL.Error):
        shaken(place.tls(client_certificate="off", client_ca=""), client)


Met = tuple[bool, Any, SSL.Connection]


def client(
    newest: ssl.TLSVersion, shown: tuple[Path, Path] | None = None
) -> ssl.SSLContext:
    """A client of Python's, with files of a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    if shown is not None:
        context.load_cert_chain(*shown)
    return context


def met(tls: ServerTLS, context: ssl.SSLContext, session: Any = None) -> Met:
    """Whether it resumed a session, the one for the next time, and the server's side."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(coming, going, session=session)
    ours = tls.connection()
    shaking: list[Any] = [client, ours]
    for _ in range(20):
        for each in list(shaking):
            with suppress(ssl.SSLWantReadError, SSL.WantReadError):
                each.do_handshake()
                shaking.remove(each)
            if octets := going.read():
                ours.bio_write(octets)
            with suppress(SSL.WantReadError):
                coming.write(ours.bio_read(1 << 16))
    assert not shaking
    ours.send(b"x")
    coming.write(ours.bio_read(1 << 16))
    assert client.read(1) == b"x"
    return bool(client.session_reused), client.session, ours


VERSIONS = pytest.mark.parametrize(
    "newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
)


@VERSIONS
@pytest.mark.parametrize("asked", [False, True])
def test_resumption(place: Place, newest: ssl.TLSVersion, asked: bool) -> None:
    """
    Not for longer than an hour, nor when the clock was set back, nor with another
    certificate: the keys of the tickets are others.
    """
    off = {"client_certificate": "off", "client_ca": ""}
    tls = place.tls(**({} if asked else off))
    context = client(newest, ROOT.issue(BOB).write(place.directory, "bob"))
    reused, session, _ = met(tls, context)
    assert not reused
    reused, session, _ = met(tls, context, session)
    assert reused
    place.now += 3599
    tls.refresh()
    assert met(tls, context, session)[0]
    for change in (1, 3601, -10):
        session = met(tls, context)[1]
        place.now += change
        tls.refresh()
        assert not met(tls, context, session)[0]
    session = met(tls, context)[1]
    server(ROOT).write(place.directory, "gw")
    tls.refresh()
    assert not met(tls, context, session)[0]


@VERSIONS
@pytest.mark.parametrize("authority", [ROOT, BELOW], ids=["root", "below"])
def test_resumedCertificate(
    place: Place, newest: ssl.TLSVersion, authority: Authority
) -> None:
    """Who resumes a session is who began it: name, end, certificate, chain."""
    place.put("crl.pem", ROOT.revoke() + BELOW.revoke())
    tls = place.tls(crl="crl.pem")
    bob = authority.issue(BOB)
    context = client(newest, bob.write(place.directory, "bob"))
    _, session, ours = met(tls, context)
    whole = tls.identityOf(ours)
    reused, _, ours = met(tls, context, session)
    found = tls.identityOf(ours)
    assert reused
    assert found is not None
    assert whole is not None
    assert (found.username, found.expires) == (whole.username, whole.expires)
    assert found.leaf.to_cryptography() == bob.certificate
    between = [each.to_cryptography() for each in found.chain]
    assert between == [each.to_cryptography() for each in whole.chain]
    # It can be judged later, as those are that showed it themselves.
    assert not tls.objection(found)
    place.put("crl.pem", b"".join(_.revoke(bob.certificate) for _ in (ROOT, BELOW)))
    tls.refresh()
    assert "revoked" in tls.objection(found)


@VERSIONS
def test_revokedIsNeverResumed(place: Place, newest: ssl.TLSVersion) -> None:
    """The next handshake is a whole one, and OpenSSL refuses the certificate."""
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")
    bob, carol = ROOT.issue(BOB), ROOT.issue(email("carol@partner.example"))
    contexts = [
        client(newest, each.write(place.directory, str(at)))
        for at, each in enumerate((bob, carol))
    ]
    sessions = [met(tls, each)[1] for each in contexts]
    place.put("crl.pem", ROOT.revoke(bob.certificate))
    tls.refresh()
    with pytest.raises(SSL.Error):
        met(tls, contexts[0], sessions[0])
    assert not met(tls, contexts[1], sessions[1])[0]


@VERSIONS
def test_anotherGenerationIsNeverResumed(place: Place, newest: ssl.TLSVersion) -> None:
    """Neither by the same files read anew for other CAs, nor by a successor's."""
    tls = place.tls()
    context = client(newest, ROOT.issue(BOB).write(place.directory, "bob"))
    session = met(tls, context)[1]
    successor = place.tls()
    assert not met(successor, context, session)[0]
    place.put("ca.pem", pemOf(ROOT.certificate, STRANGER.certificate))
    tls.refresh()
    assert not met(tls, context, session)[0]
    session = met(tls, context)[1]
    place.put("ca.pem", pemOf(STRANGER.certificate))
    tls.refresh()
    with pytest.raises(SSL.Error):
        met(tls, context, session)


@VERSIONS
def test_staleListsResumeNobody(place: Place, newest: ssl.TLSVersion) -> None:
    """No ticket lasts longer than the first nextUpdate, of any list."""
    place.put("crl.pem", ROOT.revoke() + BELOW.revoke(until=timedelta(minutes=5)))
    tls = place.tls(crl="crl.pem")
    context = client(newest, ROOT.issue(BOB).write(place.directory, "bob"))
    session = met(tls, context)[1]
    assert 290 < session.ticket_lifetime_hint <= 300
    assert met(tls, context, session)[0]
    place.now += 298
    assert met(tls, context, session)[0]
    place.now += 3
    reused, session, _ = met(tls, context, session)
    assert not reused
    assert not met(tls, context, session)[0]


@VERSIONS
def test_noTicketOutlivesACertificate(place: Place, newest: ssl.TLSVersion) -> None:
    """
    In TLS 1.3 there is none of what ends within the hour. TLS 1.2 promises it before,
    and it is of no use then: L{test_judgedAgain}.
    """
    tls = place.tls()
    soon = ROOT.issue(BOB, after=timedelta(minutes=50))
    context = client(newest, soon.write(place.directory, "bob"))
    session = met(tls, context)[1]
    assert met(tls, context, session)[0] == (newest is ssl.TLSVersion.TLSv1_2)


def test_judgedAgain(place: Place) -> None:
    """
    Whatever tickets there are: when a session is resumed its certificate is judged,
    and so are those between it and the CA, with the lists, at that time.
    """
    resumed: dict[str, tuple[ServerTLS, SSL.Connection]] = {}
    short = timedelta(seconds=2)
    between = Authority("Short", ROOT, after=short)
    for why, issued, until in (
        ("expired", ROOT.issue(BOB, after=short), HOUR),
        ("has expired", between.issue(BOB), HOUR),
        ("stale", ROOT.issue(BOB), short),
    ):
        place.put("crl.pem", ROOT.revoke(until=until) + between.revoke())
        tls = place.tls(crl="crl.pem")
        shown = issued.write(place.directory, "bob")
        context = client(ssl.TLSVersion.TLSv1_2, shown)
        _, session, ours = met(tls, context)
        assert tls.identityOf(ours) is not None
        reused, _, ours = met(tls, context, session)
        assert reused
        assert tls.identityOf(ours) is not None
        resumed[why] = tls, ours
    time.sleep(3.1)
    for why, (tls, ours) in resumed.items():
        with pytest.raises(Unacceptable, match=why):
            tls.identityOf(ours)


@VERSIONS
@pytest.mark.parametrize("many", [False, True])
def test_chainsThatMayNotBeFoundAgain(
    place: Place, newest: ssl.TLSVersion, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two authorities of one name, or very many: nobody's session is resumed."""
    monkeypatch.setattr(resumption, "_BETWEEN", 2)
    tls = place.tls()
    names = ["One", "Two", "Three"] if many else ["One", "One"]
    for name in names:
        issued = Authority(name, ROOT).issue(BOB)
        context = client(newest, issued.write(place.directory, "bob"))
        _, session, ours = met(tls, context)
        assert tls.identityOf(ours) is not None
    assert not met(tls, context, session)[0]


def test_noSessionOfNobody(place: Place) -> None:
    """One without a certificate is resumed as that, where it is not required."""
    tls = place.tls(client_certificate="optional")
    context = client(ssl.TLSVersion.TLSv1_3)
    session = met(tls, context)[1]
    reused, _, ours = met(tls, context, session)
    assert reused
    assert tls.identityOf(ours) is None


def test_aDefectInTheVerdictFails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in a callback is no yes (CVE-2026-27448)."""

    def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr("socksgw.accept.certificates._verified", broken)
    with pytest.raises((ZeroDivisionError, SSL.Error)):
        shaken(place.tls(), clientOf(ROOT.issue(BOB)))


# What cannot be used.


def encrypted(issued: Issued) -> bytes:
    return issued.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3same")
    )


@pytest.mark.parametrize(
    ("name", "octets", "key", "why"),
    [
        ("gw.pem", None, "certificate", "No such file"),
        ("gw.pem", b"", "certificate", "PEM"),
        ("gw.pem", b"-----BEGIN CERTIFICATE-----\n", "certificate", "PEM"),
        ("gw.pem", OWN.certificate.public_bytes(Encoding.DER), "certificate", "PEM"),
        ("gw.pem", pemOf(ROOT.certificate), "key", "not that of"),
        ("gw.key", None, "key", "No such file"),
        ("gw.key", b"s3same", "key", "PEM"),
        ("gw.key", pemOfKey(STRANGER.key), "key", "not that of"),
        ("gw.key", encrypted(OWN), "key", "encrypted"),
        ("ca.pem", None, "client_ca", "No such file"),
        ("ca.pem", b"s3same", "client_ca", "PEM"),
        ("ca.pem", pemOf(BELOW.certificate), "client_ca", "no root"),
        ("crl.pem", None, "crl", "No such file"),
        ("crl.pem", b"s3same", "crl", "PEM"),
        ("crl.pem", pemOf(ROOT.certificate), "crl", "PEM"),
        ("crl.pem", ROOT.revoke()[:200], "crl", "PEM"),
    ],
    ids=itertools.count(),
)
def test_wrongFiles(
    place: Place, name: str, octets: bytes | None, key: str, why: str
) -> None:
    """The key says which file, the text says why; never what is in it."""
    place.put("crl.pem", ROOT.revoke())
    if octets is None:
        (place.directory / name).unlink()
    else:
        place.put(name, octets)
    found = place.wrong(crl="crl.pem")
    assert list(found) == [key]
    assert why in found[key]
    assert "s3same" not in found[key]


def test_wrongSettings(place: Place) -> None:
    """All at once."""
    assert "missing" in place.wrong(client_ca="")["client_ca"]
    found = place.wrong(client_certificate="off", crl="crl.pem", prefix="p/")
    assert list(found) == ["client_ca", "crl", "prefix"]
    assert list(place.wrong(identity=())) == ["identity"]
    assert list(place.wrong(prefix="a\n")) == ["prefix"]
    assert list(place.wrong(certificate="no", client_ca="no")) == [
        "certificate",
        "client_ca",
    ]


def test_aKeyThatOthersCanRead(place: Place) -> None:
    """A secret; also where it is in one file with the certificate."""
    (place.directory / "gw.key").chmod(0o644)
    assert "chmod o-rwx" in place.wrong()["key"]
    both = OWN.writeTogether(place.directory, "gw")
    assert place.tls(certificate=both.name, key="")
    both.chmod(0o644)
    assert "chmod o-rwx" in place.wrong(certificate=both.name, key="")["certificate"]


@pytest.mark.parametrize("together", [False, True])
def test_aKeyThatBecomesReadable(place: Place, together: bool) -> None:
    """
    While running: said once; the pair that was read is used on, and counts as
    read again when the mode is mended.
    """
    file = place.directory / "gw.key"
    tls = place.tls()
    if together:
        file = OWN.writeTogether(place.directory, "gw")
        tls = place.tls(certificate=file.name, key="")
    file.chmod(0o644)
    changes = tls.refresh()
    assert changes.read == ()
    (line,) = changes.problems
    assert line.startswith("certificate: " if together else "key: ")
    assert line.endswith(f"chmod o-rwx {file}")
    assert shownBy(tls) == OWN.certificate
    assert tls.refresh() == ((), (), False)
    file.chmod(0o600)
    assert tls.refresh().read[0] == "certificate"
    assert tls.refresh() == ((), (), False)


# Files that change.


def test_quiet(place: Place) -> None:
    """Nothing happened, nothing is told."""
    tls = place.tls()
    assert tls.refresh() == ((), (), False)


def shownBy(tls: ServerTLS) -> Any:
    client = clientOf(ROOT.issue(BOB))
    shaken(tls, client)
    return client.get_peer_certificate().to_cryptography()


def test_anotherCertificate(place: Place) -> None:
    """It is shown from the next handshake on; a broken one never is."""
    tls = place.tls()
    assert shownBy(tls) == OWN.certificate
    new = server(ROOT)
    place.put("gw.pem", pemOf(*new.chain))
    # The key is not there yet: the old pair is used.
    changes = tls.refresh()
    assert changes.read == ()
    assert changes.problems[0].startswith("key: ")
    assert shownBy(tls) == OWN.certificate
    # Said once.
    assert tls.refresh() == ((), (), False)
    place.put("gw.key", pemOfKey(new.key))
    assert tls.refresh() == (("certificate", "key"), (), False)
    assert shownBy(tls) == new.certificate
    (place.directory / "gw.key").unlink()
    assert "No such file" in tls.refresh().problems[0]
    assert shownBy(tls) == new.certificate


def test_anotherList(place: Place) -> None:
    """Whoever is revoked is out, also when they are in."""
    bob = ROOT.issue(BOB)
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")
    found = known(tls, bob)
    assert found is not None
    place.put("crl.pem", ROOT.revoke(bob.certificate))
    assert tls.refresh() == (("client_ca", "crl"), (), True)
    assert "revoked" in refusal(tls, bob)
    assert "revoked" in tls.objection(found)


@pytest.mark.parametrize("how", ["file", "reload"])
def test_trustThatChangesDuringAHandshake(place: Place, how: str) -> None:
    """
    Whoever has begun a handshake before they were revoked does not get in by
    its end; others do.
    """
    place.put("crl.pem", ROOT.revoke())
    revoked, other = ROOT.issue(BOB), ROOT.issue(BOB)
    for issued, why in ((revoked, "revoked"), (other, "")):
        tls = place.tls(crl="crl.pem")
        ours = shaken(tls, clientOf(issued))
        place.put("crl.pem", ROOT.revoke(revoked.certificate))
        if how == "file":
            assert tls.refresh().rejudge
        else:
            tls.successor = place.tls(crl="crl.pem")
        if why:
            with pytest.raises(Unacceptable, match=why):
                tls.identityOf(ours)
        else:
            assert tls.identityOf(ours) is not None
        place.put("crl.pem", ROOT.revoke())


@pytest.mark.parametrize("octets", [None, b"", b"broken"])
def test_brokenList(place: Place, octets: bytes | None) -> None:
    """
    A CRL that cannot be read lets nobody in; those who are in stay. When it is back,
    all is well.
    """
    name = "crl.pem"
    bob = ROOT.issue(BOB)
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")
    good = (place.directory / name).read_bytes()
    if octets is None:
        (place.directory / name).unlink()
    else:
        place.put(name, octets)
    changes = tls.refresh()
    assert changes.read == ()
    assert len(changes.problems) == 1
    assert not changes.rejudge
    # It is not said to be the client's certificate that is wrong.
    why = refusal(tls, bob)
    assert why.startswith("client certificates cannot be judged: ")
    assert name in why
    assert tls.refresh() == ((), (), False)
    place.put(name, good)
    assert tls.refresh() == (("client_ca", "crl"), (), True)
    assert known(tls, bob) is not None


def _cut(octets: bytes) -> bytes:
    return octets[: len(octets) // 2]


@pytest.mark.parametrize("crl", ["", "crl.pem"])
@pytest.mark.parametrize(
    "broken",
    [None, lambda _: b"", lambda _: b"broken", _cut, lambda o: o + _cut(o)],
    ids=["gone", "empty", "broken", "cut", "second cut"],
)
def test_brokenAuthorities(place: Place, broken: Any, crl: str) -> None:
    """
    A bundle of CAs that is gone, cut or empty leaves those that it had, and it is
    said; when it is whole again it counts, and so does a list meanwhile.
    """
    bob, eve = ROOT.issue(BOB), ROOT.issue(email("eve@partner.example"))
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl=crl)
    identity = known(tls, bob)
    assert identity is not None
    good = (place.directory / "ca.pem").read_bytes()
    if broken is None:
        (place.directory / "ca.pem").unlink()
    else:
        place.put("ca.pem", broken(good))
    changes = tls.refresh()
    assert changes.read == ()
    (line,) = changes.problems
    assert line.startswith("client_ca: ")
    assert line.endswith("; the CAs that it had are believed meanwhile")
    assert known(tls, bob) is not None
    assert tls.objection(identity) == ""
    assert refusal(tls, STRANGER.issue(BOB))
    assert tls.refresh() == ((), (), False)
    if crl:
        place.put("crl.pem", ROOT.revoke(eve.certificate))
        tls.refresh()
        assert "revoked" in refusal(tls, eve)
    # A configuration that is to come into force is not given such a file.
    with pytest.raises(WrongTLS):
        tls.require()
    place.put("ca.pem", good + pemOf(STRANGER.certificate))
    assert tls.refresh().rejudge
    if not crl:
        assert known(tls, STRANGER.issue(BOB)) is not None
    assert known(tls, bob) is not None


def test_rotatedAuthorities(place: Place) -> None:
    """From the old CA over both to the new one: who is in stays as long as its CA."""
    tls = place.tls()
    old = known(tls, ROOT.issue(BOB))
    assert old is not None
    both = pemOf(STRANGER.certificate) + (place.directory / "ca.pem").read_bytes()
    place.put("ca.pem", both)
    assert tls.refresh().read
    new = known(tls, STRANGER.issue(BOB))
    assert new is not None
    assert (tls.objection(old), tls.objection(new)) == ("", "")
    place.put("ca.pem", pemOf(STRANGER.certificate))
    assert tls.refresh().rejudge
    assert "client_ca" in tls.objection(old)
    assert tls.objection(new) == ""


def _mutated(octets: bytes, chance: random.Random) -> bytes:
    """PEM with a few octets changed in what it holds."""
    head, *lines, foot = octets.strip().split(b"\n")
    der = bytearray(base64.b64decode(b"".join(lines)))
    for _ in range(chance.choice((1, 1, 2, 3))):
        der[chance.randrange(len(der))] = chance.randrange(256)
    return b"\n".join((head, base64.encodebytes(der).strip(), foot, b""))


@pytest.mark.parametrize("name", ["ca.pem", "crl.pem", "gw.pem"])
def test_mutatedFiles(place: Place, name: str) -> None:
    """
    Whatever the libraries raise about a file, at the start and later, it is
    something wrong with the file; and who was believed before is not, for it.
    """
    place.put("crl.pem", ROOT.revoke())
    good = (place.directory / name).read_bytes()
    tls, told = place.tls(crl="crl.pem"), 0
    chance = random.Random(29)
    for n in range(200):
        place.put(name, _mutated(good, chance))
        changes = tls.refresh()
        if changes.problems and name != "gw.pem":
            told += 1
            if n % 20 == 0 and name == "crl.pem":
                with pytest.raises(SSL.Error):
                    known(tls, ROOT.issue(email("bob@partner.example")))
        with suppress(WrongTLS):
            place.tls(crl="crl.pem")
    assert told > 20 or name == "gw.pem"
    place.put(name, good)
    assert tls.refresh().problems == ()
    assert known(tls, ROOT.issue(email("bob@partner.example"))) is not None


def test_optionalAndBrokenTrust(place: Place) -> None:
    """Who shows none gets as far as before, who shows one does not."""
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(client_certificate="optional", crl="crl.pem")
    (place.directory / "crl.pem").unlink()
    assert tls.refresh().problems
    assert known(tls, None) is None
    assert refusal(tls, ROOT.issue(BOB))


def test_goesStale(place: Place) -> None:
    """Told once, when it happens; a fresh one is told, too."""
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")
    assert tls.refresh() == ((), (), False)
    place.now += 25 * 3600
    changes = tls.refresh()
    assert [line.partition(":")[0] for line in changes.problems] == [
        "certificate",
        "crl",
    ]
    assert not changes.rejudge
    assert tls.refresh() == ((), (), False)
    place.put("crl.pem", ROOT.revoke(until=100 * HOUR))
    assert tls.refresh() == (("client_ca", "crl"), (), True)


@pytest.mark.parametrize("who", ["leaf", "intermediate"])
def test_revokedWhileAnotherListIsStale(place: Place, who: str) -> None:
    """
    A stale CRL of one issuer spares nobody whom a fresh one of another revokes,
    be it above or below it in the chain.
    """
    bob, other = BELOW.issue(BOB), ROOT.issue(BOB)
    place.put("crl.pem", ROOT.revoke() + BELOW.revoke())
    tls = place.tls(crl="crl.pem")
    found, bystander = known(tls, bob), known(tls, other)
    assert found is not None
    assert bystander is not None
    if who == "leaf":
        fresh, stale = BELOW.revoke(bob.certificate), ROOT.revoke(until=-HOUR)
    else:
        fresh, stale = ROOT.revoke(BELOW.certificate), BELOW.revoke(until=-HOUR)
    place.put("crl.pem", stale + fresh)
    changes = tls.refresh()
    assert changes.rejudge
    assert "revoked" in tls.objection(found, living=True)
    assert tls.objection(bystander, living=True) == ""


def test_staleSparesTheLivingAlone(place: Place) -> None:
    """Nobody comes in by it, and a CA that is gone takes its people with it."""
    bob = ROOT.issue(BOB)
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")
    found = known(tls, bob)
    assert found is not None
    place.put("crl.pem", ROOT.revoke(until=-HOUR))
    assert tls.refresh().rejudge
    assert tls.objection(found, living=True) == ""
    assert "stale" in tls.objection(found)
    assert "stale" in refusal(tls, bob)
    # What it says, stale or not, it says.
    place.put("crl.pem", ROOT.revoke(bob.certificate, until=-HOUR))
    tls.refresh()
    assert "revoked" in tls.objection(found, living=True)
    place.put("ca.pem", pemOf(STRANGER.certificate))
    tls.refresh()
    assert "client_ca" in tls.objection(found, living=True)


def test_whatOnlyOpenSSLRefuses(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could be read and yet not be used lets nobody in."""
    place.put("crl.pem", ROOT.revoke())
    tls = place.tls(crl="crl.pem")

    def refused(*_: Any) -> None:
        raise Error([("X509", "", "unknown")])

    monkeypatch.setattr(X509Store, "add_crl", refused)
    place.put("crl.pem", ROOT.revoke())
    changes = tls.refresh()
    assert "OpenSSL refuses" in changes.problems[0]
    assert not changes.rejudge
    assert refusal(tls, ROOT.issue(BOB))
    assert tls.refresh().problems == ()
    assert "OpenSSL refuses" in place.wrong(crl="crl.pem")["client_ca"]


def test_anotherName(place: Place) -> None:
    """Whoever would be called otherwise now is somebody else."""
    bob = known(place.tls(), ROOT.issue(BOB))
    assert bob is not None
    assert "otherwise" in place.tls(prefix="partner/").objection(bob)


def test_anotherAuthority(place: Place) -> None:
    """A CA that is trusted no longer takes its people with it."""
    bob = known(place.tls(), BELOW.issue(BOB))
    assert bob is not None
    assert place.tls().objection(bob) == ""
    place.put("ca.pem", pemOf(STRANGER.certificate))
    assert "client_ca" in place.tls().objection(bob)
