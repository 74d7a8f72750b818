"""
C{[metrics]}: where metrics are sent.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.system.files import FileError, readFile, unreadable
from socksgw.system.secretfile import SecretFile

__all__ = ["examineMetrics"]

_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def _present(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def examineMetrics(config: Config, problems: Problems) -> None:
    """Examine the collector's URL and files, and whether its packages are there."""
    otlp = config.metrics.otlp
    if otlp is None:
        return
    path = "metrics.otlp"
    if not all(map(_present, _PACKAGES)):
        problems.wrong(path, "needs an extra: pip install 'socksgw[otel]'")
    try:
        url = urlsplit(otlp.url)
        fit = url.scheme in ("http", "https") and bool(url.hostname)
        if url.username is not None or url.password is not None:
            fit = False
    except ValueError:
        fit = False
    if not fit or not otlp.url.isascii() or not otlp.url.isprintable():
        problems.wrong(
            f"{path}.url",
            "must be as http://127.0.0.1:4318/v1/metrics or https://…, without a "
            "password; a token stands in token_file",
        )
    if otlp.every < 1:
        problems.wrong(f"{path}.every", 'must be at least "1s"')
    if otlp.token_file:
        try:
            token = SecretFile(config.directory / otlp.token_file).read()
        except FileError as e:
            problems.wrong(f"{path}.token_file", str(e))
        else:
            if not token.isascii() or not token.decode().isprintable() or b" " in token:
                problems.wrong(
                    f"{path}.token_file", "has characters that no HTTP field may have"
                )
    if otlp.ca:
        ca = config.directory / otlp.ca
        try:
            readFile(ca)
        except OSError as e:
            problems.wrong(f"{path}.ca", unreadable(ca, e))
        except FileError as e:
            problems.wrong(f"{path}.ca", str(e))
