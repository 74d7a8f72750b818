"""
Where tests stand: beside what they test, in folders of the same names, and none
imports another.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.live.running import ROOT

TESTS = ROOT / "tests"
#: What any test may use; everything else is for its own folder.
COMMON = {"fakes", "live", "tools"}
#: Folders without a counterpart in C{socksgw/}.
APART = COMMON | {"bench", "hostile", "interop", "measured"}
#: Modules whose tests stand somewhere else: where, and why. The shorter, the better.
ELSEWHERE: dict[str, tuple[str, str]] = {
    "accept/protected.py": ("interop/test_gssapi.py", "below a whole login"),
    "accept/twisteds.py": ("accept/test_endpoints.py", "made by Twisted's endpoints"),
    "audit/process.py": ("audit/test_record.py", "among all other lines"),
    "config/hooks.py": ("config/test_loading.py", "a step of loading"),
    "config/problems.py": ("config/test_loading.py", "what loading finds"),
    "config/schema/listener.py": ("config/test_schema.py", "the schema as a whole"),
    "console/asked.py": ("console/test_explain.py", "what it is for"),
    "console/manual.py": ("console/test_help.py", "what it is for"),
    "console/parser.py": ("console/test_help.py", "each command is a topic"),
    "console/plugins.py": ("negotiate/test_capabilities.py", "what is assumed"),
    "console/reference.py": ("console/test_help.py", "what it is for"),
    "console/usage.py": ("console/test_help.py", "what it is for"),
    "errors.py": ("session/test_session.py", "each where it is told"),
    "gateway/certificates.py": ("gateway/test_revocation.py", "a look of many"),
    "gateway/examining/problems.py": ("gateway/test_examination.py", "a list"),
    "gateway/examining/rules.py": ("gateway/test_examination.py", "with all the rest"),
    "gateway/factory.py": ("interop/test_endpoints.py", "for whoever embeds"),
    "gateway/generation.py": ("gateway/test_sharing.py", "what generations share"),
    "gateway/watched.py": ("gateway/test_reload.py", "what a reload looks for"),
    "interfaces.py": ("testing/test_contract.py", "what a contract asks for"),
    "login/changing.py": ("login/test_portal.py", "a part of the Portal"),
    "login/checks.py": ("login/test_portal.py", "a part of the Portal"),
    "login/credentials.py": ("login/test_portal.py", "a part of the Portal"),
    "login/memory.py": ("login/test_portal.py", "a part of the Portal"),
    "login/realm.py": ("login/test_portal.py", "the Portal's own realm"),
    "login/stores/http.py": ("interop/test_stores.py", "against a real service"),
    "login/stores/ldapgroups.py": ("interop/test_ldap.py", "against a real slapd"),
    "login/stores/ldaplinks.py": ("interop/test_ldap.py", "against a real slapd"),
    "login/stores/ldapservers.py": ("interop/test_ldap.py", "against a real slapd"),
    "login/stores/ldapusers.py": ("interop/test_ldap.py", "against a real slapd"),
    "negotiate/exchange.py": ("negotiate/test_methods.py", "what methods are given"),
    "plugins/auth_certificate.py": ("negotiate/test_negotiation.py", "says nothing"),
    "plugins/auth_none.py": ("negotiate/test_negotiation.py", "says nothing"),
    "plugins/gssapi_kerberos.py": ("interop/test_gssapi.py", "against a real KDC"),
    "plugins/gssapi_stub.py": ("plugins/test_auth_gssapi.py", "the method's test"),
    "policy/conditions.py": ("policy/test_rules.py", "what a rule means"),
    "policy/fields.py": ("policy/test_index.py", "found as if each were asked"),
    "policy/questions.py": ("policy/test_rules.py", "what a rule is asked"),
    "policy/ruleset.py": ("policy/test_rules.py", "what rules mean in their order"),
    "policy/tables.py": ("policy/test_index.py", "found as if each were asked"),
    "policy/words.py": ("policy/test_document.py", "what a policy's words mean"),
    "relay/association.py": ("relay/test_flows.py", "with its flows"),
    "relay/control.py": ("relay/test_flows.py", "with its flows"),
    "relay/relay.py": ("relay/test_splice.py", "common to two relays"),
    "relay/settings.py": ("relay/test_splice.py", "common to two relays"),
    "relay/side.py": ("relay/test_splice.py", "one of the two sides"),
    "relay/tally.py": ("relay/test_flows.py", "counted by flows"),
    "route/datagrams.py": ("relay/test_flows.py", "sockets of real flows"),
    "route/hostlookup.py": ("route/test_lookup.py", "beside other sources"),
    "route/librarylookup.py": ("route/test_lookup.py", "beside other sources"),
    "route/outlet.py": ("route/test_dialer.py", "what a dialler gives"),
    "route/race.py": ("route/test_dialer.py", "how a dialler connects"),
    "session/besides.py": ("interop/test_limits.py", "limits of several rules"),
    "session/command.py": ("session/test_session.py", "with CONNECT"),
    "session/datagrams.py": ("hostile/test_udp.py", "with real datagrams"),
    "session/deciding.py": ("session/test_session.py", "a step of every session"),
    "session/refusing.py": ("session/test_session.py", "a step of every session"),
    "session/streams.py": ("session/test_commands.py", "CONNECT and BIND"),
    "system/sockets.py": ("interop/test_sandbox.py", "what a sandbox denies"),
    "tap.py": ("hostile/test_firstminute.py", "the command as people start it"),
}

SOURCES = sorted(
    path.relative_to(ROOT / "socksgw").as_posix()
    for path in (ROOT / "socksgw").rglob("*.py")
    if path.name != "__init__.py"
)
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))


def mirrored(module: str) -> Path:
    """Return where the tests of C{folder/module.py} belong."""
    path = Path(module)
    return TESTS / path.parent / f"test_{path.name}"


def dotted(module: str) -> str:
    """Return the name by which a module is imported."""
    return "socksgw." + module.removesuffix(".py").replace("/", ".")


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the names that a file imports, with their modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{name.name}" for name in node.names)
    return frozenset(found)


@cache
def fileOf(name: str) -> Path | None:
    """Return the file of a module or a package of ours, or of the tests'."""
    path = ROOT / name.replace(".", "/")
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in found if each.is_file()), None)


def reached(path: Path) -> set[str]:
    """
    Return the modules that a file of tests works with: what it and its helpers
    import, and two steps more within the package (all is reached in some more).
    """
    found: set[str] = set()
    waiting = [(path, 0)]
    seen: dict[Path, int] = {}
    while waiting:
        file, steps = waiting.pop()
        if steps > 2 or seen.get(file, 3) <= steps:
            continue
        seen[file] = steps
        for imported in imports(file):
            for name in (imported, imported.rpartition(".")[0]):
                found.add(name)
                if other := fileOf(name):
                    waiting.append((other, steps + (TESTS not in other.parents)))
    return found


def isOnlyDeclarations(module: str) -> bool:
    """Tell whether no function of a module does anything."""
    for node in ast.walk(ast.parse((ROOT / "socksgw" / module).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not all(
            isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
            for each in node.body
        ):
            return False
    return True


def test_eachModuleHasItsTests() -> None:
    """In the mirrored place, or the list says where; modules that do something."""
    missing = [
        f"socksgw/{module}: no {mirrored(module).relative_to(ROOT)}"
        for module in SOURCES
        if not mirrored(module).is_file()
        and module not in ELSEWHERE
        and not isOnlyDeclarations(module)
    ]
    assert not missing, (
        f"move their tests there, or say in ELSEWHERE ({Path(__file__).name}) where "
        "they are:\n" + "\n".join(missing)
    )


def test_theListIsTrue() -> None:
    """What it names exists, and its tests import it, or run a gateway."""
    wrong = []
    live = {"tests.live.running.Running", "tests.live.running.socksgw"}
    for module, (where, why) in ELSEWHERE.items():
        path = TESTS / where
        if module not in SOURCES:
            wrong.append(f"{module} does not exist: take it out")
        elif mirrored(module).is_file():
            wrong.append(f"{module} has its tests in the mirrored place: take it out")
        elif not path.is_file():
            wrong.append(f"{module}: tests/{where} does not exist: where did it go?")
        elif not (live & imports(path) or dotted(module) in reached(path)):
            wrong.append(f"{module}: tests/{where} neither reaches it nor runs it")
        assert why
    assert not wrong, "\n".join(wrong)


def test_noTestImportsAnother() -> None:
    """
    What two files of tests need stands in a module of its own: in C{fakes},
    C{live} or C{tools}, or beside them if no other folder needs it.
    """
    wrong = []
    for file in FILES:
        folder = Path(file).parts[0]
        for name in imports(TESTS / file):
            parts = name.split(".")
            if parts[0] != "tests":
                continue
            if any(part.startswith(("test_", "conftest")) for part in parts[:-1]):
                wrong.append(f"{file} imports {name}")
            elif parts[1] not in COMMON | {folder} and folder != "bench":
                wrong.append(f"{file} imports {name}, which is for {parts[1]}/ alone")
    assert not wrong, (
        "move what is shared to tests/fakes, tests/live or tests/tools (or, within a "
        "folder, to a module there):\n" + "\n".join(wrong)
    )


def test_foldersAreMirrored() -> None:
    """A folder of tests has the name of what it tests."""
    folders = {path.parts[0] for path in map(Path, FILES) if len(path.parts) > 1}
    ours = {path.parts[0] for path in map(Path, SOURCES) if len(path.parts) > 1}
    assert folders - APART <= ours
