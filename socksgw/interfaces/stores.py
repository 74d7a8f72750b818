"""
Checkers that are made from a configuration, and what the stores behind them can do.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.strcred import ICheckerFactory
from zope.interface import Attribute, Interface

from socksgw.config.settings import Settings

__all__ = [
    "IAlteredStore",
    "IChangingStore",
    "IConfigurableCheckerFactory",
    "IFileCheckerFactory",
    "IGroupCatalogue",
    "IGroupSource",
    "ILockingStore",
    "INamingStore",
    "IReportingStore",
]


class IFileCheckerFactory(ICheckerFactory):
    """
    A factory whose checker's argument is the path of a file.

    A relative path is resolved beside the configuration that names it, before the
    factory sees it. What a factory without this declaration does with a relative
    path is not known: a relative argument that names an existing file is an error
    there.
    """


class IConfigurableCheckerFactory(ICheckerFactory):
    """
    A factory of Twisted's whose checker can also be an C{[[auth.checker]]}.

    That is a table whose C{kind} is the C{authType}. A factory that needs no more
    than a string does not declare this: its table has the one key C{argument}.
    """

    keys = Attribute("As in L{IMethodCapabilities}; may be left out.")

    def fromSettings(settings: Settings, reactor: Any) -> Any:
        """
        Make the checker.

        One is also made only to see whether it can be: it opens, asks and starts
        nothing before a user logs in.

        @param settings: the table, without C{kind} and C{name}.
        @return: a C{twisted.cred.checkers.ICredentialsChecker}.
        @raise ValueError: it cannot be made; the text says why.
        """


class IGroupSource(Interface):
    """
    A checker that knows of groups, also for users whom another method logged in.
    """

    name = Attribute("What the journal calls it, a C{str}.")

    def groupsOf(name: str) -> Any:
        """
        Ask for all groups that a user is in, nested ones included.

        @return: a C{Deferred} of an iterable of C{str}, each as L{normal} has it, or
            of L{None} when there is no such user; it fails with
            L{Barred<socksgw.login.refusal.Barred>} when the user may not log in
            now, and otherwise when the directory cannot be asked.
        """

    def normal(name: str) -> str:
        """
        Return the one form of a group's name, the same for all its names.

        @raise ValueError: it is not the name of a group here.
        """


class IGroupCatalogue(IGroupSource):
    """
    A group source that can say whether a group exists.
    """

    def missing() -> Any:
        """
        Look for groups that do not exist, or whose members it cannot tell.

        @return: a C{Deferred} of a C{frozenset} of C{str}: those, of the groups that
            L{normal} was asked about, in normal form. It fails when the directory
            cannot be asked.
        """


class ILockingStore(Interface):
    """
    A checker whose store locks accounts of its own accord.
    """

    def tries(perUser: int) -> None:
        """
        Learn how many wrong passwords the gateway passes on to the store.

        Where the store locks an account at as few or fewer, the log says so when that
        is known.

        @param perUser: for one user from one source; 0 for any number.
        """


class INamingStore(Interface):
    """
    A checker that can say how its store spells a user's name.

    It is asked of users whom another method has logged in: Kerberos leaves the
    spelling to the client.
    """

    def canonicalName(name: str) -> Any:
        """
        Ask for the one name of a user.

        @param name: as the client spelled it, without a realm.
        @return: a C{Deferred} of a C{str}, or of L{None} when there is no such
            user, or none that may log in; it fails with
            L{Refused<socksgw.login.refusal.Refused>} when the store cannot be
            asked.
        """


class IChangingStore(Interface):
    """
    A checker that can say whether its store changed.

    When it did, cached logins are flushed and sessions of removed users are ended.
    Logins by other checkers are cached for C{auth.cache}.
    """

    def stamp() -> object:
        """
        Return a value that differs whenever the store's content may differ.

        This is called several times a second: it does a C{stat(2)}, at most.
        """

    def knows(name: bytes) -> bool:
        """
        Return whether there is such a user now.
        """


class IAlteredStore(IChangingStore):
    """
    A changing store that can tell whom a change concerns: all others stay remembered.
    """

    def altered(since: object) -> Any:
        """
        Return of whom something else counts than at an earlier time.

        @param since: what C{stamp} returned then.
        @return: an iterable of names, C{bytes}; L{None} when that is not known.
        """


class IReportingStore(Interface):
    """
    A checker or an authenticator that can say what is wrong with its files.
    """

    def problems() -> Any:
        """
        Return what is wrong now, for the operator.

        This is called once a second, and by C{socksgw check}: while nothing changes,
        it does a C{stat(2)}, at most.

        @return: a sequence of C{str}, each a line that names the file, the line in it
            and the remedy, and holds no secret.
        """
