"""
The certificates, authorities, CRLs and keytabs in the files of a configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from socksgw.config.schema import Config
from socksgw.gateway.examination import Examination
from socksgw.gateway.probing.asking import Probe, answers
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.system.certificateprobe import (
    Said,
    ofAuthorities,
    ofChain,
    ofKeytab,
    ofRevocations,
)
from socksgw.system.files import FileError, readFile, readSecret, unreadable
from socksgw.system.tlscontext import certificatesOf

__all__ = ["certificateProbes"]


def certificateProbes(config: Config, found: Examination) -> Iterator[Probe]:
    """Yield the files of listeners, and those that are for servers."""
    for i, listen in enumerate(config.listen):
        tls = found.secured.get(listen.name)
        if tls is None or listen.tls is None:
            continue
        own, authorities, lists = tls.held
        said: list[tuple[str, Callable[[float], Iterator[Said]]]] = [
            ("certificate", partial(ofChain, own, True))
        ]
        if listen.tls.client_ca:
            said.append(("client_ca", partial(ofAuthorities, authorities)))
        if listen.tls.crl:
            said.append(("crl", partial(ofRevocations, lists)))
        for key, judge in said:
            path = str(config.directory / getattr(listen.tls, key))
            yield Probe(f"listen[{i}].tls.{key}", path, _given(path, judge))
    for place, table in _tables(config):
        for key, read in _READ.items():
            name = table.get(key)
            if isinstance(name, str) and name:
                file = config.directory / name
                yield Probe(
                    f"{place}.{key}", name, _given(str(file), partial(read, file))
                )


def _given(what: str, judge: Callable[[float], Iterator[Said]]) -> Any:
    async def ask() -> list[Answer]:
        return answers(what, judge(time.time()))

    return ask


def _tables(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables with files of what servers show, and are shown."""
    for i, checker in enumerate(config.auth.checker):
        yield f"auth.checker[{i}]", checker.options
    for i, upstream in enumerate(config.upstream):
        yield f"upstream[{i}]", {"ca": upstream.ca}
        login = upstream.login
        yield (
            f"upstream[{i}].login",
            {"certificate": login.certificate, "keytab": login.keytab},
        )
    for i, decider in enumerate(config.decider):
        yield f"decider[{i}]", {"ca": decider.ca}
    for i, sink in enumerate(config.audit.sink):
        yield f"audit.sink[{i}]", sink.options
    if (cluster := config.cluster) is not None:
        yield "cluster", {"ca": cluster.ca, "certificate": cluster.certificate}
    if config.metrics.otlp is not None:
        yield "metrics.otlp", {"ca": config.metrics.otlp.ca}


def _authorities(path: Path, now: float) -> Iterator[Said]:
    return ofAuthorities(certificatesOf(_read(path, readFile)), now)


def _certificate(path: Path, now: float) -> Iterator[Said]:
    # Its mode, and its key, were examined.
    return ofChain(certificatesOf(_read(path, readFile)), False, now)


def _keytab(path: Path, _: float) -> Iterator[Said]:
    return ofKeytab(_read(path, readSecret))


#: What reads the file of a key.
_READ: Mapping[str, Callable[[Path, float], Iterator[Said]]] = {
    "ca": _authorities,
    "certificate": _certificate,
    "keytab": _keytab,
    "bind_keytab": _keytab,
}


def _read(path: Path, read: Callable[[Path], bytes]) -> bytes:
    try:
        return read(path)
    except OSError as e:
        said, _, remedy = unreadable(path, e).partition("; ")
        raise ProbeFailed(said, remedy) from None
    except FileError as e:
        said, _, remedy = str(e).partition("; ")
        raise ProbeFailed(said, remedy) from None
