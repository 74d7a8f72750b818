"""
The command C{twistd socksgw}: its options, and the service that they ask for.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar, NoReturn

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from socksgw.admin.ports import AdminPorts
from socksgw.config.defaults import defaultConfig, listeningOn, withoutCheckers
from socksgw.config.loading import ConfigError, load
from socksgw.config.schema import Config
from socksgw.console.banner import Console
from socksgw.console.denials import Denials
from socksgw.gateway.examining.sinks import writesToStdout
from socksgw.gateway.examining.workers import workersOf
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.push import MetricsPush
from socksgw.gateway.service import Foreground, GatewayService, fail
from socksgw.handover.place import Nobody, connect
from socksgw.handover.program import Program, handed
from socksgw.handover.succession import Succession
from socksgw.handover.taking import Taking, tell
from socksgw.system import output
from socksgw.system.clock import steady
from socksgw.system.log import observing
from socksgw.system.logformats import inJournal
from socksgw.system.signals import hangups
from socksgw.workers.workforce import Workforce

__all__ = ["Options", "makeService"]


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
            "take-over",
            None,
            "Take over from the gateway that serves with the same state_dir: nobody "
            "is cut off or refused (socksgw help restart).",
        ],
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
        self.program: Program | None = None

    def opt_listen(self, endpoint: str) -> None:
        """
        Listen here instead: 127.0.0.1:1080, or an endpoint, tcp:1080; may be repeated.
        """
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_version(self) -> NoReturn:
        """
        Tell version and commit, and the versions of what it runs on.
        """
        from socksgw.console.version import told

        print(told())
        sys.exit(0)

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
            if parent is not None:
                self.program = Program(parent, bool(self["take-over"]))
        except usage.UsageError as e:
            # Twisted puts this in front of the error of a checker.
            why = str(e).removeprefix("Unexpected error: ")
            fail([f"{why} (twistd socksgw --help shows the options)"], 2)

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


def makeService(options: Options) -> GatewayService:
    """
    Return the service that the options ask for.

    The process exits, with a line for each problem, if there are any.
    """
    from twisted.internet import reactor

    steady(reactor)
    taking = None
    given = handed()
    checkers = options.get("credCheckers")
    try:
        config = configure(options)
        count = workersOf(config)
        workforce = Workforce(reactor, count, checkers) if count > 1 else None
        gateway = Gateway(
            reactor,
            config,
            checkers=checkers,
            reread=(lambda: configure(options)) if options["config"] else None,
            role=workforce,
        )
        if workforce is not None:
            workforce.of(gateway)
        gateway.adjoin(AdminPorts(gateway, reactor))
        gateway.adjoin(MetricsPush(gateway, reactor))
        succession = None
        if options.program is not None:
            succession = Succession(gateway, reactor, options.program)
            gateway.adjoin(succession)
        if options["take-over"]:
            directory = config.directory / config.gateway.state_dir
            taking = Taking(gateway, given or connect(directory), options.program)
    except ConfigError as e:
        if given is not None:
            tell(given, e.lines())
        fail(e.lines(), 2)
    except Nobody as e:
        fail([str(e)], 1)
    parent: Any = options.parent or {}
    foreground = bool(parent.get("nodaemon"))
    console: Foreground | None = None
    log = None
    if foreground:
        # Standard output is replaced before twistd opens its log on it.
        out = output.install(reactor, taken=writesToStdout(config))
        # Programs that read JSON expect nothing else.
        if not options["quiet"] and config.log.format == "text":
            console = (Denials if inJournal(out) else Console)(reactor, out)
    if parent:
        log = observing(parent, config.log.format, config.log.level)
    service = GatewayService(
        reactor, gateway, console, hangups(), foreground, log, before=taking
    )
    if succession is not None:
        succession.released = service.released
    return service
