"""
C{[grants]}: what may be allowed for a while, and by whom.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from socksgw.config.problems import nearest
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.policy.conditions import HostFacts
from socksgw.policy.granting import Granting

__all__ = ["examineGrants"]

_UID: Final = re.compile(r"uid:[0-9]+")


def examineGrants(config: Config, facts: HostFacts, problems: Problems) -> None:
    """
    Examine what may be granted, and who may approve it.

    @param facts: about this host.
    """
    settings = config.grants
    if settings is None:
        return
    for key in ("longest", "wait"):
        if getattr(settings, key) <= 0:
            problems.wrong(f"grants.{key}", "must be more than 0s")
    if not settings.may:
        why = "nothing may be granted: there is no [[grants.may]]"
        problems.odd("grants", why)
    if config.admin is None:
        problems.odd("grants", "nobody can ask for a grant: there is no [admin]")
    _approvers(settings.approvers, "grants.approvers", config, problems)
    known: set[str] = set()
    rules = {rule.id: rule for rule in config.rule}
    for i, template in enumerate(settings.may):
        path = f"grants.may[{i}]"
        if template.id in known:
            problems.wrong(f"{path}.id", f'"{template.id}" is another one\'s, too')
        known.add(template.id)
        if template.longest is not None and template.longest <= 0:
            problems.wrong(f"{path}.longest", "must be more than 0s")
        if template.like and template.like not in rules:
            why = f'there is no [[rule]] with the id "{template.like}"'
            problems.wrong(f"{path}.like", why + nearest(template.like, rules))
        elif template.like and rules[template.like].allow is None:
            problems.wrong(f"{path}.like", f'"{template.like}" allows nothing')
        _approvers(template.approvers, f"{path}.approvers", config, problems)
    for problem in Granting(config, facts).errors:
        problems.wrong(problem.path, problem.text)


def _approvers(
    words: Sequence[str] | None, path: str, config: Config, problems: Problems
) -> None:
    tokens = () if config.admin is None else config.admin.token
    known = [f"token:{each.name}" for each in tokens]
    for i, word in enumerate(words or ()):
        if word not in known and not _UID.fullmatch(word):
            why = f'"{word}" is neither "uid:NUMBER" nor "token:" and the name of an '
            why += f"[[admin.token]]{nearest(word, known)}"
            problems.wrong(f"{path}[{i}]", why)
    if words == ():
        problems.odd(path, "nobody can approve a grant")
