"""
The contract of a sink of the journal, as tests that the sink's author runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve
from zope.interface.verify import verifyObject

from socksgw.audit import chain
from socksgw.audit.formats import FORMATS, formatOf
from socksgw.audit.sinks.entries import Line, presented
from socksgw.interfaces import (
    AuditSink,
    Entry,
    IAuditSink,
    Settings,
    SinkFailed,
    SinkSettings,
)

__all__ = ["AuditSinkContract", "entriesOf", "sinkSettings"]

_WHEN: Final = "2026-03-02T09:00:00.000Z"
_REQUEST: Final = (
    '"session":1,"listener":"main","client":"192.0.2.7:40000","protocol":"socks5"'
)
#: Bodies of lines such as a gateway writes, which are repeated.
_BODIES: Final = (
    '"event":"start","gateway":"edge","pid":17',
    f'"event":"decision",{_REQUEST},"user":"alice","method":"userpass",'
    '"command":"connect","asked":"example.com","name":"example.com","port":443,'
    '"verdict":"allow","rule":"web","why":"","addresses":["198.51.100.1"]',
    '"event":"end","session":1,"address":"198.51.100.1","bound":"192.0.2.1:50000",'
    '"sent":100,"received":18446744073709551615,"seconds":1.5,"reason":"closed",'
    '"reply":0',
    # What strangers can bring into a line, and an event that no catalogue has.
    f'"event":"refused",{_REQUEST},"reason":"protocol","why":"'
    + "\\u0000\\n\\t\\ud800\\u2028] \\\"='; --" * 300
    + '","wanted":[],"reply":255',
    '"event":"of-a-later-version","some":{"thing":[1,null,true]}',
)


def entriesOf(
    count: int, first: int = 1, form: str = "native", gateway: str = "edge"
) -> list[Entry]:
    """
    Return lines of a journal, odd ones among them.

    @param first: the number of the first one.
    @param form: the name of their format.
    @param gateway: the name of their gateway.
    """
    made, head = formatOf(form, gateway), chain.FIRST
    found: list[Line] = []
    for number in range(1, first + count):
        body = f'"v":1,"n":{number},"time":"{_WHEN}",{_BODIES[number % len(_BODIES)]}'
        octets, head = chain.chained(body, head)
        if number >= first:
            found.append(Line(number, octets[:-1]))
    return list(presented(found, made))


def sinkSettings(
    plugin: Any,
    directory: Path,
    target: str = "",
    options: Mapping[str, Any] = MappingProxyType({}),
    form: str | None = None,
    wrong: list[tuple[str, str]] | None = None,
    aside: Callable[[Entry, str], None] | None = None,
) -> SinkSettings:
    """
    Return settings, as the gateway makes them of a configuration.

    @param directory: what relative paths start from.
    @param form: the format; the sink's own by default.
    @param wrong: gets the key and the text of each mistake.
    @param aside: as of L{SinkSettings}; by default no line can be put aside.
    """

    def mistake(key: str, text: str) -> None:
        assert wrong is not None, f"{key}: {text}"
        wrong.append((key, text))

    settings = SinkSettings(
        "the-sink",
        plugin.kind,
        target,
        plugin.format if form is None else form,
        Settings(options, directory, name="the-sink", wrong=mistake, files={}),
        directory,
        "edge",
    )
    return settings if aside is None else evolve(settings, aside=aside)


class AuditSinkContract:
    """
    What every sink has to hold.

    Inherit from it in a class that your test runner collects; C{tmp_path} is pytest's
    fixture. Set L{plugin}, and say where the sink writes and what has come there.

    @cvar plugin: the plug-in.
    @cvar options: the other keys of the table.
    @cvar secret: a secret that L{target} or a file of L{options} holds; empty for none.
    @cvar once: whether lines come exactly once, after a crash, too.
    @cvar form: the format; the sink's own by default.
    """

    plugin: Any
    options: Mapping[str, Any] = MappingProxyType({})
    secret = ""
    once = False
    form: str | None = None

    def target(self, directory: Path) -> str:
        """
        Return where the sink writes.

        @param directory: an empty one, which is one test's own. What the sink needs
            (a pipe, a server) is made here, and goes on until the test is over.
        """
        raise NotImplementedError

    def received(self, directory: Path) -> Sequence[int]:
        """
        Return the numbers of the lines that have come, in their order.

        All that L{AuditSink.deliver} has returned for must be among them.
        """
        raise NotImplementedError

    def broken(self, directory: Path) -> AbstractContextManager[None] | None:
        """
        Return a context within which the sink cannot write.

        @return: L{None} where nothing can fail.
        """
        return None

    # What the tests use.

    def _built(self, directory: Path) -> AuditSink:
        settings = sinkSettings(
            self.plugin, directory, self._target(directory), self.options, self.form
        )
        sink: AuditSink = self.plugin.build(settings)
        return sink

    def _target(self, directory: Path) -> str:
        # One place for all sinks of a test.
        kept = directory / ".target"
        if not kept.exists():
            kept.write_text(self.target(directory))
        return kept.read_text()

    def _entries(self, count: int, first: int = 1) -> list[Entry]:
        return entriesOf(count, first, self.form or self.plugin.format or "native")

    def _wanted(self, entries: Sequence[Entry]) -> list[int]:
        whole = not self.plugin.format
        return [e.number for e in entries if whole or e.formatted is not None]

    def _silent(self, text: str) -> None:
        assert not self.secret or self.secret not in text, "it shows the secret"

    # The tests.

    def test_itIsDeclared(self) -> None:
        """Check that the plug-in has what the configuration asks of it."""
        verifyObject(IAuditSink, self.plugin)
        assert self.plugin.kind.isidentifier()
        assert self.plugin.help
        assert self.plugin.target == self.plugin.target.upper()
        assert self.plugin.format in ("", *FORMATS)

    def test_buildingOpensNothing(self, tmp_path: Path) -> None:
        """Check that a sink that is only built leaves no trace, and can be closed."""
        self._target(tmp_path)
        before = sorted(tmp_path.iterdir())
        sink = self._built(tmp_path)
        sink.close()
        assert sorted(tmp_path.iterdir()) == before
        assert sink.batch >= 1
        self._silent(repr(sink))

    def test_aKeyThatItDoesNotKnowIsAnError(self, tmp_path: Path) -> None:
        """Check that an unknown key is reported under its name."""
        wrong: list[tuple[str, str]] = []
        options = {**self.options, "no_such_key": 1}
        settings = sinkSettings(
            self.plugin, tmp_path, self._target(tmp_path), options, self.form, wrong
        )
        self.plugin.build(settings)
        assert [key for key, _ in wrong] == ["no_such_key"]
        self._silent(str(wrong))

    def test_linesComeInTheirOrder(self, tmp_path: Path) -> None:
        """Check that all lines come, odd and long ones, in batches and alone."""
        sink, entries = self._built(tmp_path), self._entries(40)
        assert sink.open() in (None, 0)
        sink.deliver(entries[:1])
        sink.idle()
        for at in range(1, 40, sink.batch):
            sink.deliver(entries[at : at + sink.batch])
        sink.idle()
        assert list(self.received(tmp_path)) == self._wanted(entries)
        sink.close()
        sink.close()

    def test_itGoesOn(self, tmp_path: Path) -> None:
        """
        Check that another process goes on behind the last line.

        The first one ended without L{AuditSink.close}. Where lines come exactly once,
        the sink says how far it has come.
        """
        entries = self._entries(30)
        first = self._built(tmp_path)
        first.open()
        self._all(first, entries[:10])
        for begins in (10, 20):
            again = self._built(tmp_path)
            kept = again.open()
            if self.once:
                assert kept == begins, "it does not know how far it has come"
            self._all(again, entries[begins : begins + 10])
            again.close()
        first.close()
        assert list(self.received(tmp_path)) == self._wanted(entries)

    def _all(self, sink: AuditSink, entries: Sequence[Entry]) -> None:
        for at in range(0, len(entries), sink.batch):
            sink.deliver(entries[at : at + sink.batch])

    def test_aFailureIsTold(self, tmp_path: Path) -> None:
        """
        Check that a sink that cannot write says so, loses nothing, and goes on.

        It raises L{SinkFailed}, whose text shows no secret.
        """
        sink, entries = self._built(tmp_path), self._entries(20)
        broken = self.broken(tmp_path)
        if broken is None:
            return
        sink.open()
        self._all(sink, entries[:10])
        with broken:
            told = "".join(self._failures(sink, entries[10:]))
            assert told, "it fails, and does not say so"
            self._silent(told)
        sink.close()
        kept = sink.open()
        assert kept is not None or not self.once
        self._all(sink, entries[10 if kept is None else kept :])
        sink.close()
        found = list(self.received(tmp_path))
        assert sorted(set(found)) == self._wanted(entries)
        if self.once:
            assert len(found) == len(set(found)), "lines have come twice"

    def _failures(self, sink: AuditSink, entries: Sequence[Entry]) -> Iterator[str]:
        """Yield why lines are not delivered, and why the sink cannot be opened."""
        try:
            self._all(sink, entries)
        except SinkFailed as e:
            yield str(e)
        sink.close()
        try:
            sink.open()
        except SinkFailed as e:
            yield str(e)

    @staticmethod
    def numbers(lines: bytes) -> list[int]:
        """Return the numbers of native lines, for L{received}."""
        return [json.loads(line)["n"] for line in lines.splitlines()]
