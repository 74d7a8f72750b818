"""
A generation that is built in one go.
"""

from __future__ import annotations

from functools import partial

from socksgw.config.schema import Config
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.generation import Generation
from socksgw.system.steps import atOnce


def built(gateway: Gateway, config: Config) -> Generation:
    """
    Build a generation from a configuration, without using it yet.

    @raise ConfigError: something is wrong with the configuration.
    """
    compiler = gateway.compiler(config)
    compiler.prepare()
    steps = Generation.building(
        config, gateway._shared, gateway._checkers, gateway.generation, compiler
    )
    return atOnce(steps, partial(gateway.hosts.supposing, config))
