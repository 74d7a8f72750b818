"""
The C{passwd:FILE} checker for Twisted's C{--auth}.
"""

from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

_HELP = """
A file of users with salted scrypt hashes, mode 0600. Make it, and set
passwords in it, with: socksgw passwd FILE USER
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
        from socksgw.login.passwords import PasswordFileError

        if not argString:
            raise InvalidAuthArgumentString("passwd: needs a file, as in passwd:FILE")
        if not _pools:
            _pools.append(HashingPool(reactor))
        try:
            return PasswordFile(Path(argString), _pools[0])
        except PasswordFileError as e:
            raise InvalidAuthArgumentString(str(e)) from None


passwordFile = PasswordFileFactory()
