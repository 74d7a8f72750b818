"""
The examination of a whole configuration.

It finds every error and warning, and what the configuration exposes to clients
without a login.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker

from socksgw.accept.certificates import ServerTLS
from socksgw.config.loading import refused
from socksgw.config.problems import Problem
from socksgw.config.schema import Config
from socksgw.gateway.examining.admin import examineAdmin, toldAdmin
from socksgw.gateway.examining.checkers import Checkers, verifiedIdentities
from socksgw.gateway.examining.cluster import examineCluster
from socksgw.gateway.examining.credentials import Credentials
from socksgw.gateway.examining.deciders import examineDeciders, told
from socksgw.gateway.examining.fastopen import examineFastOpen
from socksgw.gateway.examining.grants import examineGrants
from socksgw.gateway.examining.groups import examineGroups
from socksgw.gateway.examining.identities import Identities, examineIdentities
from socksgw.gateway.examining.ipsec import (
    examineIPsec,
    examineWanted,
    toldIPsec,
)
from socksgw.gateway.examining.leaving import examineLeaving
from socksgw.gateway.examining.listeners import (
    examineListeners,
    reachable,
    securedListeners,
    serverTLS,
)
from socksgw.gateway.examining.methods import Methods
from socksgw.gateway.examining.metrics import examineMetrics
from socksgw.gateway.examining.networks import examineNetworks
from socksgw.gateway.examining.pac import examinePac
from socksgw.gateway.examining.passing import examinePassing
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.examining.programs import examinePrograms
from socksgw.gateway.examining.rules import (
    examineExpectations,
    examineProtected,
    examineRules,
)
from socksgw.gateway.examining.senders import Senders
from socksgw.gateway.examining.sinks import examineSinks, toldSinks
from socksgw.gateway.examining.transparent import examineReach, examineTransparent
from socksgw.gateway.examining.upstreams import examineUpstreams
from socksgw.gateway.examining.users import (
    examineDirectories,
    examineSpellings,
    examineStores,
    examineTagged,
    examineUsers,
)
from socksgw.gateway.examining.values import examineValues
from socksgw.gateway.examining.workers import examineWorkers, toldWorkers
from socksgw.gateway.links import leavesBy, links
from socksgw.gateway.offers import Offers
from socksgw.gateway.upstreamclients import UpstreamClient
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.policy.conditions import Addresses, HostFacts
from socksgw.policy.counting import Counted
from socksgw.policy.deciders import Decider
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import judged
from socksgw.policy.exposure import Exposure
from socksgw.policy.ruleset import Ruleset
from socksgw.system.files import trusted
from socksgw.system.steps import Steps, atOnce
from socksgw.system.usage import Holding, UsagePool

__all__ = ["Examination", "examine", "examining"]


@frozen
class Examination:
    """
    The result of an examination.

    The attributes from C{ruleset} on can be used only if there are no errors.

    @ivar errors: what must be mended before the configuration can be used.
    @ivar warnings: what is allowed, and is probably not meant.
    @ivar exposures: which clients are served without a login, and which
        destinations they reach: one line each.
    @ivar ruleset: the compiled rules.
    @ivar choices: the methods that are offered, in the order of the file.
    @ivar checkers: the checkers that decide about credentials.
    @ivar secured: the TLS settings of the listeners that have any, by the
        listener's name.
    @ivar offers: which clients can log in, and how; for C{explain} and
        expectations.
    @ivar unclear: the errors of the policy alone; if there are any, the ruleset
        answers no question.
    @ivar senders: of which addresses a listener believes PROXY headers, by its name.
    @ivar believed: whose word it takes there: one line for each listener.
    @ivar identities: the keys of gateways that are believed, and our own.
    @ivar upstreams: what speaks to each upstream, by its name.
    @ivar deciders: what asks each decider, by its name.
    @ivar trusted: the numbers of C{gateway.trusted_groups}.
    @ivar counted: who counts in each C{[[limit]]}; L{None} where all do.
    """

    errors: list[Problem]
    warnings: list[Problem]
    exposures: list[str]
    ruleset: Ruleset
    choices: tuple[Choice[OfferedMethod], ...]
    checkers: tuple[ICredentialsChecker, ...]
    secured: Mapping[str, ServerTLS]
    offers: Offers
    unclear: list[Problem]
    senders: Mapping[str, Addresses]
    believed: list[str]
    identities: Identities
    upstreams: Mapping[str, UpstreamClient]
    deciders: Mapping[str, Decider]
    trusted: frozenset[int]
    counted: Sequence[Counted | None]

    def lines(self, config: Config, verdict: str) -> Iterator[str]:
        """
        Yield lines for people: errors, warnings, the verdict, and the exposures.

        @param config: the configuration that was examined.
        @param verdict: a word or two that follow the file's name.
        """
        yield from refused(config, self.errors).lines()
        for line in refused(config, self.warnings).lines():
            yield f"warning: {line}"
        yield f"{config.file}: {verdict}"
        yield (
            "exposed without login:"
            if self.exposures
            else ("exposed without login: nothing")
        )
        for line in self.exposures:
            yield f"  {line}"
        if not self.errors:
            yield from _lacking(config)
        firewall = list(toldIPsec(config))
        if firewall:
            yield (
                "for ipsec_mark, at every boot before the gateway, also by "
                "socksgw client-config ipsec:"
            )
        for line in firewall:
            yield f"  {line}".rstrip()
        if self.believed:
            yield "PROXY headers name the client:"
        for line in self.believed:
            yield f"  {line}"
        if not self.errors:
            yield from _served(config)
        if self.deciders:
            yield "asked besides the rules:"
        for line in told(config):
            yield f"  {line}"


def _lacking(config: Config) -> Iterator[str]:
    """Yield what to add to a file by which nobody is served."""
    if not config.auth.choose:
        yield (
            "nobody gets in: add [[auth.choose]] with from and methods, such as "
            'methods = ["none"] (socksgw init --built-in prints a whole policy)'
        )
    if not any(rule.allow for rule in config.rule):
        yield (
            "nothing is allowed: add a [[rule]] with id and allow, such as "
            'allow = ["connect"] (socksgw init --built-in prints a whole policy)'
        )


def _served(config: Config) -> Iterator[str]:
    """Yield who serves, what follows the journal, where the admin interface is."""
    for title, lines in (
        ("clients are served by:", list(toldWorkers(config))),
        ("the journal goes to:", list(toldSinks(config))),
        ("admin interface:", list(toldAdmin(config))),
    ):
        if lines:
            yield title
        for line in lines:
            yield f"  {line}"


def examine(
    config: Config,
    facts: HostFacts,
    reactor: Any,
    checkers: Sequence[ICredentialsChecker] | None = None,
    compiler: Compiler | None = None,
    holding: Holding | None = None,
) -> Examination:
    """
    Examine a configuration as a whole.

    The parameters are those of L{examining}.
    """
    return atOnce(examining(config, facts, reactor, checkers, compiler, holding))


def examining(
    config: Config,
    facts: HostFacts,
    reactor: Any,
    checkers: Sequence[ICredentialsChecker] | None = None,
    compiler: Compiler | None = None,
    holding: Holding | None = None,
) -> Steps[Examination]:
    """
    Examine a configuration as a whole, step by step.

    Problems are reported in the order of this function. What takes long with many
    rules may be done in a thread, as far as it concerns nothing but the configuration.

    @param facts: this host's addresses and listeners.
    @param checkers: used instead of those that C{config} names.
    @param compiler: a compiler of C{config} that is prepared already.
    @param holding: shares TLS settings with the configuration in force.
    """
    holding = holding or Holding(UsagePool())
    compiler = compiler or Compiler(config, facts)
    problems, exposed = Problems(), reachable(config)
    # It asks for groups of this machine.
    yield partial(examineValues, config, problems)
    examinePassing(config, problems)
    examineListeners(config, reactor, problems)
    yield None
    found = links()
    examineNetworks(config, found, problems)
    yield partial(examineLeaving, config, found, leavesBy, problems)
    examinePac(config, problems)
    examineWorkers(config, problems)
    examineSinks(config, problems)
    examineAdmin(config, problems)
    examineMetrics(config, problems)
    examineCluster(config, problems)
    yield None
    signers = examineIdentities(config, problems)
    upstreams = examineUpstreams(config, facts, reactor, problems)
    yield None
    deciders = examineDeciders(config, reactor, problems)
    examineGrants(config, facts, problems)
    yield None
    secured = dict(serverTLS(config, problems, holding))
    senders = Senders(config, compiler, problems)
    methods = Methods(config, compiler, reactor, exposed, problems)
    choices = tuple(methods.choices())
    yield None
    if checkers is None:
        checkers = yield from Checkers(config, reactor, exposed, problems).all()
    yield None
    Credentials(config, methods, exposed, problems).examine(checkers)
    identities = tuple(verifiedIdentities(config, methods, checkers, reactor, problems))
    examineDirectories(config, checkers, problems)
    yield from examineUsers(config, checkers, bool(identities), problems)
    yield partial(examineSpellings, config, methods, checkers, problems)
    examineStores(checkers, problems)
    examineTransparent(config, choices, problems)
    examineIPsec(config, problems)
    examineFastOpen(config, problems)
    examineGroups(config, problems)
    yield from examineTagged(config, checkers, problems)
    yield partial(examineRules, config, methods, problems)
    yield partial(examineExpectations, config, methods, problems)
    offers = Offers(
        config, choices, methods.sources, securedListeners(config), methods.protecting()
    )
    compiled = compiler.compile()
    yield None
    if not compiled.errors:
        examineReach(config, compiled.ruleset.rules, problems)
        examineWanted(config, compiled.ruleset.rules, problems)
        examineProtected(config, compiled.ruleset.rules, offers, problems)
    errors = problems.errors + compiled.errors
    origins = [rule.sources for rule in compiled.ruleset.rules]
    yield partial(examinePrograms, config, methods.sources, origins, problems)
    exposure = Exposure(config, methods.anonymous, methods.sources, origins)
    exposures: list[str] = []
    yield lambda: exposures.extend(exposure.lines())
    if not errors:
        yield lambda: errors.extend(exposure.problems(exposed))
        for each in judged(config, compiled.ruleset, offers):
            errors += [] if each is None else [each]
            yield None
    return Examination(
        errors,
        problems.warnings + compiled.warnings,
        exposures,
        compiled.ruleset,
        choices,
        (*checkers, *identities),
        secured,
        offers,
        compiled.errors,
        senders.believed,
        list(senders.lines()),
        signers,
        upstreams,
        deciders,
        trusted(),
        compiled.counted,
    )
