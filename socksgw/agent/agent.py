"""
The settings in force, and the credentials that they name.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import final

from socksgw.agent.configuring import PRINTED, configuration
from socksgw.agent.credentials import troubleWith
from socksgw.agent.settings import Settings
from socksgw.agent.trouble import Trouble
from socksgw.agent.wallet import Wallet
from socksgw.config.loading import loads
from socksgw.config.schema import Config

__all__ = ["Agent"]


@final
class Agent:
    """
    The settings in force, and what is known by them.

    @ivar settings: the settings.
    """

    def __init__(self, settings: Settings, state: Path) -> None:
        """
        @param state: the directory of the journal.
        """
        self.settings = settings
        self._state = state
        self._wallet: Wallet | None = None

    def configured(self, settings: Settings) -> Config:
        """
        Use settings, and return the configuration that they make.

        @raise ConfigError: no gateway can be made of them.
        """
        if settings.keyring and (
            self._wallet is None or settings.account != self._wallet.account
        ):
            self._wallet = Wallet(settings.account, time.monotonic)
        passed = self._wallet.path if settings.keyring and self._wallet else ""
        if settings.keyring and self._wallet is not None:
            # What logs in may want to read it at once.
            self._wallet.look()
        text = configuration(settings, os.getuid(), self._state, passed)
        config = loads(text, PRINTED, Path("/"))
        self.settings = settings
        return config

    def look(self, doubted: bool) -> Trouble | None:
        """
        Look at the user's credentials; it may block.

        @param doubted: whether the gateway has refused them.
        """
        if self.settings.keyring and self._wallet is not None:
            return self._wallet.look(doubted)
        return troubleWith(self.settings, time.time())
