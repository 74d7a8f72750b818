"""
What C{socksgw check --probe} asks, and what it is told.
"""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen
from zope.interface import Interface

__all__ = ["Answer", "IProbed", "IProbedSink", "ProbeFailed"]


@frozen
class Answer:
    """
    What one server, file or service has answered.

    All of it is for people: short, in words, and without a secret.

    @ivar what: what was asked, such as C{"ldaps://dc1.corp.example"}.
    @ivar said: what it answered, such as C{"the bind account's password is wrong"}.
    @ivar state: C{"ok"}; C{"warning"}: it works, and will not for long, or not for
        all; C{"failed"}.
    @ivar remedy: what to do; empty where nothing is to be done.
    """

    what: str
    said: str
    state: Literal["ok", "warning", "failed"] = "ok"
    remedy: str = ""


class ProbeFailed(Exception):
    """
    What was asked cannot be used.

    @ivar remedy: what to do; may be empty.
    """

    def __init__(self, said: str, remedy: str = "") -> None:
        super().__init__(said)
        self.remedy = remedy


class IProbed(Interface):
    """
    A checker or an authenticator that can ask what it uses whether it is good for use.
    """

    def probe() -> Any:
        """
        Ask each server and file, and change nothing.

        Everything is asked with the configured names and secrets, as a login asks. The
        caller bounds the time: what is not done then is cancelled.

        @return: an awaitable of a sequence of L{Answer}.
        @raise ProbeFailed: nothing can be asked.
        """


class IProbedSink(Interface):
    """
    A kind of sink (L{IAuditSink<socksgw.interfaces.IAuditSink>}) that can be asked.
    """

    def probe(settings: Any) -> Any:
        """
        Ask whether the sink would take lines, and send none.

        It runs in a thread, and may block.

        @type settings: L{SinkSettings<socksgw.interfaces.SinkSettings>}
        @return: a sequence of L{Answer}.
        @raise ProbeFailed: it would not.
        """
