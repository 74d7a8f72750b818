"""
The plug-ins for checkers: for C{--auth} of Twisted, and for C{[auth]}.

Modules that a checker needs are imported when one is made.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

from socksgw.interfaces import (
    IBearerToken,
    IConfigurableCheckerFactory,
    IFileCheckerFactory,
)

_HELP = """
A file of users with salted scrypt hashes, mode 0600. Make it, and set
passwords in it, with: socksgw passwd FILE USER
"""

_SECRETS = """
A file of users with their passwords, to be read back: for methods such as
chap, where they do not travel. Mode 0600, ours or root's. Make it, and set
passwords in it, with: socksgw passwd --secrets FILE USER
"""


@implementer(IFileCheckerFactory, IPlugin)
class PasswordFileFactory:
    """
    Makes checkers of the class L{socksgw.login.checkers.PasswordFile}.
    """

    authType = "passwd"
    authHelp = _HELP
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argString: str) -> Any:
        """
        Return a checker for the file of that path.

        @raise InvalidAuthArgumentString: the file cannot be used.
        """
        from pathlib import Path

        from twisted.internet import reactor

        from socksgw.login.checkers import HashingPool, PasswordFile
        from socksgw.login.userfile import PasswordFileError
        from socksgw.system.usage import shared

        if not argString:
            raise InvalidAuthArgumentString("passwd: needs a file, as in passwd:FILE")
        pool = shared(
            ("passwords", reactor),
            lambda: HashingPool(reactor),
            lambda made: made.stop(),
        )
        try:
            return PasswordFile(Path(argString), pool)
        except PasswordFileError as e:
            raise InvalidAuthArgumentString(str(e)) from None


@implementer(IFileCheckerFactory, IPlugin)
class SecretsFileFactory:
    """
    Makes checkers of the class L{socksgw.login.secrets.SecretsFile}.
    """

    authType = "secrets"
    authHelp = _SECRETS
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernameHashedPassword,)

    def generateChecker(self, argString: str) -> Any:
        """
        Return a checker for the file of that path.

        @raise InvalidAuthArgumentString: the file cannot be used.
        """
        from pathlib import Path

        from socksgw.login.secrets import SecretsFile
        from socksgw.login.userfile import PasswordFileError

        if not argString:
            raise InvalidAuthArgumentString("secrets: needs a file, as in secrets:FILE")
        try:
            return SecretsFile(Path(argString))
        except PasswordFileError as e:
            raise InvalidAuthArgumentString(str(e)) from None


passwordFile = PasswordFileFactory()
secretsFile = SecretsFileFactory()


@implementer(IConfigurableCheckerFactory, IPlugin)
class TableFactory:
    """
    Makes checkers that have many options, from a table of the configuration.
    """

    argStringFormat = "None: it is a table, [[auth.checker]], of a configuration."

    def __init__(
        self, authType: str, authHelp: str, extra: str, *credentials: Any
    ) -> None:
        """
        Name a kind of checker.

        @param authType: its C{kind}, and the name of its module.
        @param authHelp: what it is, in a sentence.
        @param extra: the extra of this package that installs what it needs.
        @param credentials: the interfaces of what it takes besides user and password.
        """
        self.credentialInterfaces = (*credentials, IUsernamePassword)
        self.authType = authType
        self.authHelp = authHelp
        self._extra = extra

    @property
    def keys(self) -> Mapping[str, str]:
        """The keys of the table, each with its meaning."""
        from socksgw.login.stores import keys

        found: Mapping[str, str] = getattr(keys, self.authType.upper())
        return found

    def generateChecker(self, argString: str) -> Any:
        """
        Refuse: options do not fit into one argument.

        @raise InvalidAuthArgumentString: always.
        """
        raise InvalidAuthArgumentString(
            f"{self.authType}: has options, and is an [[auth.checker]] with "
            f'kind = "{self.authType}" of a configuration'
        )

    def fromSettings(self, settings: Any, reactor: Any) -> Any:
        """
        Return a checker.

        @raise ValueError: it cannot be made, or a package is missing.
        """
        try:
            module = import_module(f"socksgw.login.stores.{self.authType}")
        except ImportError as e:
            raise ValueError(
                f'needs {e.name}; install it with: pip install "socksgw[{self._extra}]"'
            ) from None
        return getattr(module, f"{self.authType}Checker")(settings, reactor)


ldap = TableFactory(
    "ldap",
    "Users and groups of an LDAP directory: a bind as the user, over TLS.",
    "ldap",
)

http = TableFactory(
    "http",
    "A decision service that is sent user and password as JSON, over HTTPS.",
    "http",
)

pam = TableFactory(
    "pam",
    "A PAM service of this system, with the rights that the gateway has.",
    "pam",
)

jwt = TableFactory(
    "jwt",
    "Tokens that an issuer has signed: of Kubernetes, CI systems, SPIFFE.",
    "jwt",
    IBearerToken,
)
