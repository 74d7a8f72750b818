"""
C{[cluster]}: whether the other members can be reached as it says.
"""

from __future__ import annotations

import re
import ssl
from importlib.util import find_spec
from typing import Final

from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.examining.workers import workersOf
from socksgw.system.files import FileError, readFile, readSecret, unreadable
from socksgw.system.redisserver import addressIn
from socksgw.system.secretfile import SecretFile

__all__ = ["examineCluster"]

#: Names are parts of keys in Redis.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMED: Final = "must be 1 to 64 letters, digits, dots, hyphens or underscores"


def examineCluster(config: Config, problems: Problems) -> None:
    """Examine where Redis is, its files, and the members."""
    cluster = config.cluster
    if cluster is None:
        return
    wrong = problems.wrong
    if find_spec("redis") is None:
        wrong("cluster", "needs an extra: pip install 'socksgw[redis]'")
    if workersOf(config) > 1:
        wrong(
            "gateway.workers",
            "must be 1 in a [cluster]: workers do not count with other machines; run "
            "a member for each core, with its own name, state_dir and addresses",
        )
    tls = False
    try:
        tls = addressIn(cluster.url).tls
    except ValueError as e:
        wrong("cluster.url", str(e))
    own = cluster.member or config.gateway.name
    place = "cluster.member" if cluster.member else "gateway.name"
    for path, name in ((place, own), ("cluster.name", cluster.name)):
        if not _NAME.fullmatch(name):
            wrong(path, f"{_NAMED}, in a [cluster]")
    for i, name in enumerate(cluster.members):
        if not _NAME.fullmatch(name):
            wrong(f"cluster.members[{i}]", _NAMED)
        elif name in cluster.members[:i]:
            wrong(f"cluster.members[{i}]", f'"{name}" is there twice')
    if own not in cluster.members:
        wrong("cluster.members", f'must have this member, "{own}"')
    if not 1 <= cluster.ttl <= 60:
        wrong("cluster.ttl", 'must be "1s" to "1m"')
    elif not 0.05 <= cluster.timeout < cluster.ttl:
        wrong("cluster.timeout", 'must be at least "50ms", and less than ttl')
    if cluster.user and not cluster.password_file:
        wrong("cluster.user", "needs a password_file")
    if cluster.password_file:
        try:
            SecretFile(config.directory / cluster.password_file).read()
        except FileError as e:
            wrong("cluster.password_file", str(e))
    for name in ("ca", "certificate", "key"):
        if getattr(cluster, name) and not tls:
            wrong(f"cluster.{name}", "is for a url that begins with rediss://")
    if bool(cluster.certificate) != bool(cluster.key):
        missing = "key" if cluster.certificate else "certificate"
        wrong(f"cluster.{missing}", "certificate and key are needed both")
    if tls:
        _examineFiles(config, problems)


def _examineFiles(config: Config, problems: Problems) -> None:
    """Examine the files of TLS."""
    cluster = config.cluster
    assert cluster is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, read in (("ca", readFile), ("key", readSecret)):
        if getattr(cluster, name):
            path = config.directory / getattr(cluster, name)
            try:
                read(path)
            except OSError as e:
                problems.wrong(f"cluster.{name}", unreadable(path, e))
                return
            except FileError as e:
                problems.wrong(f"cluster.{name}", str(e))
                return
    try:
        if cluster.ca:
            context.load_verify_locations(config.directory / cluster.ca)
    except (OSError, ValueError):
        problems.wrong("cluster.ca", f"{cluster.ca}: holds no certificates in PEM")
    try:
        if cluster.certificate and cluster.key:
            context.load_cert_chain(
                config.directory / cluster.certificate,
                config.directory / cluster.key,
                # A key that is encrypted is none; nobody is asked on a terminal.
                password=lambda: b"",
            )
    except (OSError, ValueError):
        problems.wrong(
            "cluster.certificate",
            f"{cluster.certificate} and {cluster.key}: are no certificate in PEM and "
            "its key, without a passphrase",
        )
