"""
The command C{twistd socksgw}: its options, and the service that it runs.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from twisted.application.service import Service
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import usage

from socksgw.config.defaults import defaultConfig, listeningOn, withoutCheckers
from socksgw.config.loading import ConfigError, load
from socksgw.config.schema import Config
from socksgw.console.banner import Console
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.listeners import CannotStart
from socksgw.system import output
from socksgw.system.clock import steady
from socksgw.system.floors import outdated
from socksgw.system.readiness import notify
from socksgw.system.rights import rightsOf
from socksgw.system.signals import Hangups, hangups

__all__ = ["GatewayService", "Options", "makeService"]

_log = Logger()

T = TypeVar("T")

#: Thresholds of the garbage collector: new objects before a collection, and
#: collections of each age before one of the next. Sessions leave no cycles, so it
#: only finds those of plug-ins and libraries. A live session has about 50 objects.
_THRESHOLDS: Final = (5_000, 10, 10)


class _Ended(SystemExit, Exception):
    """
    Ends the process with a status.

    It is an L{Exception}, too: only for these does twistd remove its pid file, and
    tell the process that waits until its daemon has started.
    """


def _fail(lines: Sequence[str], status: int) -> NoReturn:
    """
    Print the lines to standard error, and exit with a status.
    """
    for line in lines:
        print(f"socksgw: {line}", file=sys.stderr)
    raise _Ended(status)


def _exitFailed() -> None:
    """
    End the process at once, with status 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class Options(usage.Options, AuthOptionMixin):
    """
    The options of C{twistd socksgw}.
    """

    synopsis = "[--config FILE] [--listen ENDPOINT]... [--auth CHECKER]..."
    longdesc = (
        "Without --config the gateway listens on 127.0.0.1:1080 and [::1]:1080, "
        "serves this machine's clients without login, denies private and special "
        "addresses, and keeps its journal in ./var/. "
        "Try it: curl -x socks5h://127.0.0.1:1080 https://example.com "
        "(the manual: socksgw help)"
    )
    supportedInterfaces = (IUsernamePassword,)
    optParameters: ClassVar = [
        ["config", "c", None, "The configuration (socksgw help configuration)."],
    ]
    optFlags: ClassVar = [
        ["quiet", "q", "In the foreground, print no banner and no decisions."],
        [
            "cleartext-passwords",
            None,
            "With --auth, without --config: passwords may cross networks in the clear.",
        ],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["listen"] = []
        self.parent: Any = None

    def opt_listen(self, endpoint: str) -> None:
        """
        Listen here instead: 127.0.0.1:1080, or an endpoint, tcp:1080; may be repeated.
        """
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def parseOptions(self, options: Any = None) -> None:
        """
        Parse the options; errors are printed in one line.

        In the foreground there is no pid file unless one is named. In a container
        the process has number 1 again after a crash, and twistd would take itself
        for the process that left the file.
        """
        parent = self.parent
        foreground = parent is not None and bool(parent.get("nodaemon"))
        if foreground:
            hangups().foreground()
        named = any(word.startswith("--pid") for word in sys.argv[1:])
        if foreground and not named:
            parent["pidfile"] = ""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as e:
            # Twisted puts this in front of the error of a checker.
            why = str(e).removeprefix("Unexpected error: ")
            _fail([f"{why} (twistd socksgw --help shows the options)"], 2)

    def postOptions(self) -> None:
        """
        Check options that depend on each other.

        @raise usage.UsageError: they do not fit together.
        """
        super().postOptions()  # type: ignore[no-untyped-call]
        if self["cleartext-passwords"] and (
            self["config"] or not self.get("credCheckers")
        ):
            raise usage.UsageError(
                "--cleartext-passwords is for --auth without --config; in a file, say "
                "cleartext_passwords = true in the [[auth.choose]]"
            )


def configure(options: Options) -> Config:
    """
    Return the configuration that the options ask for.

    @raise ConfigError: something is wrong in the file.
    """
    config = load(options["config"]) if options["config"] else defaultConfig()
    if options["listen"]:
        config = listeningOn(config, options["listen"])
    if options.get("credCheckers"):
        config = withoutCheckers(config, bool(options["cleartext-passwords"]))
    return config


def _spareCollector() -> None:
    """
    Make the garbage collector run less often, and skip what exists already.

    What was made at the start lives as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


class GatewayService(Service):
    """
    The gateway as a service of twistd.
    """

    name = "socksgw"

    def __init__(
        self,
        reactor: Any,
        gateway: Gateway,
        console: Console | None,
        signals: Hangups,
        foreground: bool,
    ) -> None:
        """
        Take the parts; nothing is opened yet.

        @param console: prints decisions in the foreground; L{None} for none.
        @param signals: catches SIGHUP.
        @param foreground: whether the process stays in the foreground.
        """
        self._hangups = signals
        self._foreground = foreground
        self._reactor = reactor
        self.gateway = gateway
        self._console = console

    def privilegedStartService(self) -> None:
        """
        Open the listeners, before twistd gives up the rights of root.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for line in (
            *self.gateway.generation.warnings,
            *self._try(self.gateway.listen),
        ):
            _log.warn("{line}", line=str(line))

    def startService(self) -> None:
        """
        Open the journal and begin to serve.
        """
        super().startService()  # type: ignore[no-untyped-call]
        # If user and group were to be changed, twistd has done that by now.
        kept = rightsOf()
        if kept is not None:
            _log.warn("{line}", line=kept)
        for old in outdated():
            _log.warn("{line}", line=old)
        self._try(self.gateway.start)
        self.gateway.failed = self._failed
        _spareCollector()
        self._hangups.serve(self._reactor, self.gateway.reload, self._hungUp)
        # Only then clients are accepted, and all is open that stays open.
        self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        """Tell everybody that clients are served."""
        notify("READY=1")
        if self._console is not None:
            self._console.start(self.gateway)

    def _failed(self, line: str) -> None:
        _log.critical("{line}", line=line)
        # This runs after twistd has cleaned up, which exits with 0 otherwise.
        atexit.register(_exitFailed)
        self._reactor.stop()

    def _hungUp(self) -> None:
        if not self.gateway.stopping:
            _log.warn("the terminal was closed: stopping")
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """
        Stop accepting, and wait until the sessions are over.

        @return: fires when the journal is closed.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        notify("STOPPING=1")
        sessions = len(self.gateway.sessions)
        # From here on a second SIGINT or SIGTERM ends the sessions.
        stopped = self.gateway.stop()
        if sessions:
            _log.warn(
                "stopping: {sessions} sessions may go on for {drain:g} s; {again} ends "
                "them at once",
                sessions=sessions,
                drain=float(self.gateway.config.timeouts.drain),
                again="^C" if self._foreground else "a second SIGTERM",
            )
        return stopped.addBoth(self._stopped)

    def _stopped(self, result: None) -> None:
        if self._console is not None:
            self._console.stop()

    def _try(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except CannotStart as e:
            if self._console is None:
                # A daemon has no standard error that anybody reads.
                for line in str(e).splitlines():
                    _log.critical("{line}", line=line)
            _fail(str(e).splitlines(), 1)


def makeService(options: Options) -> GatewayService:
    """
    Return the service that the options ask for.

    The process exits, with a line for each problem, if there are any.
    """
    from twisted.internet import reactor

    steady(reactor)
    try:
        config = configure(options)
        gateway = Gateway(
            reactor,
            config,
            checkers=options.get("credCheckers"),
            reread=(lambda: configure(options)) if options["config"] else None,
        )
    except ConfigError as e:
        _fail(e.lines(), 2)
    parent: Any = options.parent or {}
    foreground = bool(parent.get("nodaemon"))
    console = None
    if foreground:
        # Standard output is replaced before twistd opens its log on it.
        out = output.install(reactor)
        if not options["quiet"]:
            console = Console(reactor, out)
    return GatewayService(reactor, gateway, console, hangups(), foreground)
