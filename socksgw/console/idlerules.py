"""
Leave rules that never match out of an imported configuration: an error of C{check}.
"""

from __future__ import annotations

from socksgw.config.loading import loads
from socksgw.importing.draft import Draft
from socksgw.policy.conditions import HostFacts
from socksgw.policy.document import Compiler
from socksgw.policy.shadows import unreachable
from socksgw.wire.address import Address

__all__ = ["leaveIdle"]


class _Elsewhere(HostFacts):
    """
    A host of which nothing is known: no address is its own.
    """

    def isSelf(self, address: Address, listener: str | None = None) -> bool:
        """Return that it is another one's."""
        return False

    def isListener(
        self, address: Address, port: int, listener: str | None = None
    ) -> bool:
        """Return that nobody listens there."""
        return False


def leaveIdle(draft: Draft, file: str) -> None:
    """
    Take rules that never match out of a draft, and note them.

    @param file: its name, for errors.
    @raise ConfigError: the draft is no configuration.
    """
    config = loads("\n".join(draft.lines(file)), file)
    ruleset = Compiler(config, _Elsewhere()).compile().ruleset
    for number, why in reversed([*unreachable(ruleset)]):
        draft.drop(number, f"left out: {why}")
