"""
C{[audit] sinks} and C{[[audit.sink]]}: what follows the journal; and what signs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import evolve

from socksgw.audit.checkpoints import MAKING
from socksgw.audit.formats import FORMATS
from socksgw.audit.sinks.discovery import findSinks
from socksgw.audit.sinks.orders import Order, Orders, settingsOf
from socksgw.audit.sinks.redaction import withoutCredentials
from socksgw.config.loading import ConfigError
from socksgw.config.problems import Problem, nearest
from socksgw.config.schema import Config, Sink
from socksgw.config.settings import Settings
from socksgw.gateway.examining.problems import Problems
from socksgw.system.ed25519 import privateKey
from socksgw.system.files import FileError

__all__ = ["examineSinks", "placesOf", "sinkNamed", "toldSinks", "writesToStdout"]

#: Characters of the longest name.
_LONGEST: Final = 250


def examineSinks(config: Config, problems: Problems) -> Orders:
    """
    Examine each sink.

    @return: what is to be followed.
    """
    audit = config.audit
    _signing(config, problems)
    state = config.directory.absolute() / config.gateway.state_dir
    orders = Orders(str(state / audit.journal), str(state))
    if not audit.sinks and not audit.sink:
        return orders
    kinds, broken = findSinks()
    found: dict[str, Order] = {}
    for path, table in _tables(config):
        name = table.name or table.kind
        key = f"{path}.name" if path.startswith("audit.sink[") else path
        if name in found:
            problems.wrong(key, f'"{name}" is the name of another sink, too')
        elif not name.isprintable() or len(name) > _LONGEST:
            problems.wrong(key, f"must be at most {_LONGEST} printable characters")
        elif table.kind not in kinds:
            where = path if key == path else f"{path}.kind"
            problems.wrong(where, _unknown(table.kind, kinds, broken))
        else:
            order = _order(path, table, name, kinds[table.kind], config, problems)
            if order is not None:
                found[name] = order
    return evolve(orders, sinks=tuple(found.values()))


def sinkNamed(config: Config, word: str) -> Order:
    """
    Return a sink.

    @param word: its name in the configuration, or as an entry of C{[audit] sinks}.
    @raise ConfigError: something is wrong with it.
    """
    problems = Problems()
    for each in examineSinks(config, problems).sinks:
        if each.name == word:
            return each
    audit = evolve(config.audit, sinks=(word,), sink=())
    problems = Problems()
    found = examineSinks(evolve(config, audit=audit), problems).sinks
    if not found:
        said = [Problem("", f"{word}: {each.text}") for each in problems.errors]
        raise ConfigError("--against", said)
    return found[0]


def placesOf(config: Config) -> dict[str, str]:
    """Return the TOML path of each sink, by its name."""
    return {table.name or table.kind: path for path, table in _tables(config)}


def toldSinks(config: Config) -> Iterator[str]:
    """Yield a line for each sink, without secrets: its name, and what it is."""
    for path, table in _tables(config):
        target = withoutCredentials(f"{table.kind}:{table.url}".rstrip(":"))
        if path.startswith("audit.sinks["):
            yield target
            continue
        if table.url_file:
            target = f"{table.kind}, to where {table.url_file} says"
        form = f", as {table.format}" if table.format else ""
        yield f'"{table.name or table.kind}": {target}{form}'


def writesToStdout(config: Config) -> bool:
    """Tell whether standard output is for lines of the journal alone."""
    return any(table.kind == "stdout" for _, table in _tables(config))


def _signing(config: Config, problems: Problems) -> None:
    """Examine what signs the journal."""
    audit = config.audit
    if audit.checkpoint_lines < 1:
        problems.wrong("audit.checkpoint_lines", "must be at least 1")
    if audit.checkpoint_every < 1:
        problems.wrong("audit.checkpoint_every", 'must be at least "1s"')
    if audit.signing_key:
        try:
            privateKey(config.directory / audit.signing_key, MAKING)
        except FileError as e:
            problems.wrong("audit.signing_key", str(e))


def _tables(config: Config) -> Iterator[tuple[str, Sink]]:
    """Yield each sink with its TOML path, the short ones as tables."""
    for i, text in enumerate(config.audit.sinks):
        kind, _, target = text.partition(":")
        yield f"audit.sinks[{i}]", Sink(kind, withoutCredentials(text), target)
    for i, table in enumerate(config.audit.sink):
        yield f"audit.sink[{i}]", table


def _unknown(kind: str, kinds: Mapping[str, Any], broken: list[tuple[str, str]]) -> str:
    text = f'there is no sink "{kind}"; installed are: {", ".join(sorted(kinds))}'
    text += nearest(kind, kinds)
    for module, why in broken:
        text += f"; the plug-in {module} is broken: {why}"
    return text


def _order(
    path: str, table: Sink, name: str, plugin: Any, config: Config, problems: Problems
) -> Order | None:
    """
    Examine one sink.

    @param path: its TOML path.
    @return: L{None} if something is wrong with it.
    """
    short = path.startswith("audit.sinks[")
    wrong: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    target, form = table.url, table.format
    where = "url"
    if table.url_file:
        where = "url_file"
        if table.url:
            wrong.append(("url_file", "name url or url_file, not both"))
        address = Settings(
            {"url_file": table.url_file},
            config.directory,
            wrong=lambda key, text: wrong.append((key, text)),
            files=files,
        )
        target = address.secret("url_file").decode("utf-8", "replace").strip()
    elif _hasPassword(target):
        problems.odd(
            path if short else f"{path}.url",
            "holds a password, which whoever reads this file has: put the URL into a "
            f'file of its own, and name that: [[audit.sink]] kind = "{table.kind}", '
            'url_file = "FILE"',
        )
    if plugin.target == "FORMAT":
        if target and form:
            wrong.append(("format", f'url says "{target}" already: leave one out'))
        where, form, target = ("url" if target else "format"), form or target, ""
    elif target and not plugin.target:
        wrong.append((where, f'a sink "{table.kind}" takes none'))
    elif not target and plugin.target and not wrong:
        wrong.append(
            (where, f'is missing: a sink "{table.kind}" needs {plugin.target}')
        )
    form = form or plugin.format
    if form and not plugin.format:
        wrong.append(("format", f'a sink "{table.kind}" takes no format'))
    elif form and form not in FORMATS:
        known = ", ".join(FORMATS)
        text = f'there is no format "{form}"; there are: {known}'
        key = where if plugin.target == "FORMAT" else "format"
        wrong.append((key, text + nearest(form, FORMATS)))
    state = config.directory.absolute() / config.gateway.state_dir
    order = Order(
        name,
        table.kind,
        type(plugin).__module__,
        target,
        form,
        table.begin,
        table.options,
        files,
        str(config.directory.absolute()),
        config.gateway.name,
    )
    if not wrong:
        settings = settingsOf(
            order, state, lambda key, text: wrong.append((key, text)), files
        )
        try:
            plugin.build(settings)
        except ValueError as e:
            if not wrong:
                wrong.append((where, str(e)))
    for key, text in wrong:
        problems.wrong(path if short else f"{path}.{key}", text)
    return None if wrong else order


def _hasPassword(target: str) -> bool:
    try:
        return bool(urlsplit(target).password)
    except ValueError:
        return False
