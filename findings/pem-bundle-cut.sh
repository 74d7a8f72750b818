#!/bin/sh
# cryptography 50.0.2 (PyPI): a bundle of certificates that was cut is taken for whole.
#
# load_pem_x509_certificates() raises for octets in which there is no certificate. Where
# some are whole and the last one has no END line (a copy that stopped, a disk that was
# full), it returns the whole ones and says nothing of the last. A program that renews
# its authorities from a file so loses one of them, silently. Cut inside the END line it
# is the same. A block whose content is damaged is an error, as one expects.
#
# Run on 2026-11-27 with CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check cryptography==50.0.2
cat > look.py <<'PYTHON'
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def authority(name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read(octets):
    try:
        return f"{len(x509.load_pem_x509_certificates(octets))} certificates"
    except ValueError:
        return "an error"


first, last = authority("first"), authority("last")
end = last.index(b"-----END")
damaged = last.replace(last.splitlines()[2], b"A" * 64)
print("whole:", read(first + last))
print("cut in the last one's content:", read(first + last[: end // 2]))
print("cut before the last one's END line:", read(first + last[:end]))
print("cut inside the last one's END line:", read(first + last[: end + 12]))
print("the only one, cut:", read(last[:end]))
print("damaged content:", read(first + damaged))
PYTHON
venv/bin/python look.py | tee found
cat > expected <<'TABLE'
whole: 2 certificates
cut in the last one's content: 1 certificates
cut before the last one's END line: 1 certificates
cut inside the last one's END line: 1 certificates
the only one, cut: an error
damaged content: an error
TABLE
diff expected found
