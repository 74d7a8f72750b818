"""
The C{passwd:FILE} and C{secrets:FILE} checkers for Twisted's C{--auth}.
"""

from typing import Any

from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

_HELP = """
A file of users with salted scrypt hashes, mode 0600. Make it, and set
passwords in it, with: socksgw passwd FILE USER
"""

_SECRETS = """
A file of users with their passwords, to be read back: for methods such as
chap, where they do not travel. Mode 0600, ours or root's. Make it, and set
passwords in it, with: socksgw passwd --secrets FILE USER
"""

_pools: list[Any] = []


@implementer(ICheckerFactory, IPlugin)
class PasswordFileFactory:
    """
    Makes L{socksgw.login.checkers.PasswordFile}.
    """

    authType = "passwd"
    authHelp = _HELP
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argString: str) -> Any:
        """
        @raise InvalidAuthArgumentString: the file cannot be used.
        """
        from pathlib import Path

        from twisted.internet import reactor

        from socksgw.login.checkers import HashingPool, PasswordFile
        from socksgw.login.userfile import PasswordFileError

        if not argString:
            raise InvalidAuthArgumentString("passwd: needs a file, as in passwd:FILE")
        if not _pools:
            _pools.append(HashingPool(reactor))
        try:
            return PasswordFile(Path(argString), _pools[0])
        except PasswordFileError as e:
            raise InvalidAuthArgumentString(str(e)) from None


@implementer(ICheckerFactory, IPlugin)
class SecretsFileFactory:
    """
    Makes L{socksgw.login.secrets.SecretsFile}.
    """

    authType = "secrets"
    authHelp = _SECRETS
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernameHashedPassword,)

    def generateChecker(self, argString: str) -> Any:
        """
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
