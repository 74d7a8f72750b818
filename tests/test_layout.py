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
APART = COMMON | {"bench", "hostile", "interop", "kernel", "measured"}
#: Modules whose tests stand somewhere else: where, and why. The shorter, the better.
ELSEWHERE: dict[str, tuple[str, str]] = {
    **{
        f"{each}.py": ("interop/test_probe.py", "real servers are asked")
        for each in (
            "console/probe",
            *(
                f"gateway/probing/{name}"
                for name in (
                    "asking",
                    "assembly",
                    "certificates",
                    "resolvers",
                    "services",
                    "sinks",
                    "upstreams",
                )
            ),
            "interfaces/probing",
            "login/fileprobe",
            "login/stores/httpprobe",
            "login/stores/jwtprobe",
            "login/stores/ldapprobe",
            "route/upstreams/probing",
            "warehouse/probing",
        )
    },
    **{
        f"{each}.py": ("interop/test_multicast.py", "the kernel's memberships count")
        for each in (
            "relay/groupsocket",
            "relay/membership",
            "route/groups",
            "session/multicast",
        )
    },
    "system/bpf.py": ("system/test_filter.py", "filters are made by it"),
    "admin/filtering.py": ("admin/api/test_sessions.py", "sessions are chosen by it"),
    "admin/parts.py": ("workers/test_admin.py", "workers answer it"),
    "admin/together.py": ("workers/test_admin.py", "workers are asked by it"),
    "admin/paths.py": ("admin/test_openapi.py", "it describes the table"),
    "admin/table.py": ("admin/test_reading.py", "fields are read as it says"),
    "accept/resumption.py": (
        "accept/test_certificates.py",
        "it is of a listener's TLS",
    ),
    "login/stores/ldapaccounts.py": (
        "login/stores/test_ldap.py",
        "the checker finds by them",
    ),
    **{
        f"config/schema/{each}.py": ("config/test_schema.py", "the schema is one table")
        for each in ("cluster", "login")
    },
    "importing/host.py": ("importing/squid/test_file.py", "lines are told by it"),
    "gateway/places.py": ("gateway/test_listeners.py", "listeners are at them"),
    "console/examined.py": ("console/test_command.py", "it is what commands run"),
    "console/explainlive.py": ("console/test_operating.py", "it asks a gateway"),
    "console/judging.py": ("console/test_diff.py", "the command prints what it says"),
    "gateway/cluster.py": ("interop/test_cluster.py", "gateways and a real Redis"),
    **{
        f"importing/threeproxy/{each}.py": (
            "importing/threeproxy/test_writing.py",
            "what is written is made of it",
        )
        for each in (
            "chains",
            "conditions",
            "limits",
            "passwords",
            "samples",
        )
    },
    **{
        f"importing/squid/{each}.py": (
            "importing/squid/test_writing.py",
            "what is written is made of it",
        )
        for each in ("delays", "logins", "peers", "samples", "unfolding")
    },
    "console/words.py": ("console/test_completion.py", "shells complete them"),
    "console/idlerules.py": ("console/test_importing.py", "import leaves them out"),
    "config/schema/values.py": ("limits/test_limits.py", "one of them has a time"),
    "limits/bound.py": ("limits/test_limits.py", "limits are made of them"),
    "limits/script.py": ("limits/test_cluster.py", "a real Redis runs it"),
    **{
        f"limits/{each}.py": ("limits/test_cluster.py", "counters have it")
        for each in ("leases", "portions", "membership")
    },
    "limits/window.py": ("limits/test_limits.py", "limits have them"),
    "gateway/readiness.py": ("admin/api/test_health.py", "it is asked there"),
    "config/schema/metrics.py": ("config/test_schema.py", "the schema is one table"),
    "session/hearing.py": ("session/test_express.py", "both lanes hear the same"),
    "gateway/awake.py": ("session/test_express.py", "a gateway of both lanes does it"),
    "gateway/starting.py": ("gateway/test_listeners.py", "listeners raise it"),
    "gateway/push.py": ("metrics/test_otlp.py", "a real gateway sends to a collector"),
    "session/glance.py": ("session/test_express.py", "both lanes look alike"),
    "agent/agent.py": ("interop/test_agent.py", "an agent that runs has one"),
    "system/warned.py": ("interop/test_agent.py", "a process has one log"),
    "agent/running.py": ("interop/test_agent.py", "it is the process"),
    "agent/trial.py": ("interop/test_agent.py", "it needs a gateway"),
    "agent/trouble.py": ("agent/test_credentials.py", "each of them is one"),
    "audit/tail.py": ("audit/test_journal.py", "a journal writes by one"),
    **{
        f"route/upstreams/{each}.py": (
            "route/upstreams/test_through.py",
            "chains and places are tried as a whole",
        )
        for each in ("chain", "outlet", "trip")
    },
    **{
        f"route/upstreams/{name}.py": (
            "interop/test_beyond.py",
            "UDP and BIND of real upstreams, and of some that lie",
        )
        for name in ("association", "listening", "relayed")
    },
    "route/upstreams/manner.py": (
        "route/upstreams/test_hop.py",
        "each hop has one",
    ),
    "route/upstreams/ground.py": (
        "route/upstreams/test_hop.py",
        "each hop stands on it",
    ),
    **{
        f"handover/{each}.py": ("interop/test_restart.py", "two processes have it")
        for each in ("leaving", "program", "succession", "taking", "transfer")
    },
    "session/stacking.py": ("interop/test_stacks6.py", "packets have to be seen"),
    "session/moving.py": ("interop/test_restart.py", "two processes have it"),
    "gateway/relief.py": ("interop/test_restart.py", "two processes have it"),
    "warehouse/errors.py": ("warehouse/test_engines.py", "its texts are told there"),
    "warehouse/fitting.py": ("warehouse/test_writing.py", "odd lines are written"),
    "warehouse/statements.py": ("warehouse/test_writing.py", "lines are written"),
    **{
        f"audit/sinks/{each}.py": ("interop/test_sinks.py", "sinks run in a process")
        for each in ("discovery", "process")
    },
    **{
        f"audit/sinks/{each}.py": ("audit/sinks/test_follower.py", "it uses it")
        for each in ("entries", "redaction")
    },
    "gateway/checkpoints.py": ("interop/test_sinks.py", "a gateway signs by it"),
    "gateway/sinks.py": ("interop/test_sinks.py", "it starts that process"),
    **{
        f"plugins/inspect_{each}.py": (
            "plugins/test_inspect_lines.py",
            "it needs the first line or message alone",
        )
        for each in ("dns", "smtp", "socks", "ssh")
    },
    "interfaces/inspection.py": (
        "plugins/test_inspect_tls.py",
        "it declares what inspectors are",
    ),
    "session/looking.py": ("interop/test_inspection.py", "it needs both ends"),
    "audit/process.py": ("audit/test_record.py", "its lines are among all others"),
    "config/hooks.py": ("config/test_loading.py", "loading uses it"),
    "config/problems.py": ("config/test_loading.py", "loading collects them"),
    "config/schema/listener.py": ("config/test_schema.py", "the schema is one table"),
    "gateway/networks.py": (
        "gateway/test_reload.py",
        "a reload prepares them; tests/interop/test_networks.py has real ones",
    ),
    "console/agent.py": ("interop/test_agent.py", "it starts agents"),
    "console/proxyoptions.py": ("console/test_connect.py", "connect has them"),
    **{
        f"run/{each}.py": ("interop/supervised.py", "real programs call")
        for each in (
            *(
                "datagrams",
                "gates",
                "inside",
                "isolated",
                "known",
                "notrun",
                "running",
                "seccomp",
            ),
            *("streams", "supervisor", "way"),
        )
    },
    "console/live.py": ("console/test_operating.py", "the commands ask by it"),
    "gateway/asked.py": ("console/test_explain.py", "it reads what explain is asked"),
    "gateway/explained.py": ("policy/test_leaving.py", "it is what is printed"),
    "console/auditing.py": ("console/test_search.py", "each of its options is used"),
    "console/clients/reach.py": (
        "console/clients/test_programs.py",
        "the settings of programs are made of it",
    ),
    **{
        f"console/clients/{each}.py": (
            "console/clients/test_programs.py",
            "each row is printed; tests/interop/test_clientconfig.py runs the programs",
        )
        for each in (
            "browsing",
            "connecting",
            "fetching",
            "setting",
            "table",
            "wrapping",
        )
    },
    "console/clients/pac.py": (
        "console/test_clientconfig.py",
        "what it prints is policy/pac.py's; tests/policy/test_pac.py runs that",
    ),
    "gateway/pac.py": (
        "gateway/examining/test_pac.py",
        "it says which listener is meant",
    ),
    "gateway/pacports.py": ("interop/test_pac.py", "browsers come there"),
    "gateway/pacserver.py": ("interop/test_pac.py", "browsers fetch it"),
    "console/learning.py": ("console/test_suggest.py", "each of its options is used"),
    "console/suggestion.py": ("console/test_suggest.py", "it prints what is suggested"),
    "console/manual.py": ("console/test_help.py", "socksgw help prints it"),
    "console/parser.py": ("console/test_help.py", "each command is a topic of help"),
    "console/plugins.py": (
        "negotiate/test_capabilities.py",
        "it tells what is assumed of a method",
    ),
    "console/reference.py": ("console/test_help.py", "socksgw help prints it"),
    "console/export.py": ("records/test_exporting.py", "it writes what is exported"),
    "records/parquet.py": ("records/test_exporting.py", "a real DuckDB reads it"),
    "records/values.py": ("records/test_exporting.py", "cells of CSV are made by it"),
    **{
        f"report/{each}.py": ("report/test_sheets.py", "each form is of one report")
        for each in ("charts", "page", "text", "values", "words")
    },
    "report/warehoused.py": (
        "console/test_report.py",
        "it says the same as the journal",
    ),
    "records/requests.py": (
        "records/test_summing.py",
        "what is summed up are requests, joined across parts",
    ),
    "system/ed25519.py": (
        "system/test_assertionkeys.py",
        "every mistake in a file of keys is tried there",
    ),
    "errors.py": ("session/test_session.py", "each is raised and told in a session"),
    "gateway/certificates.py": (
        "gateway/test_revocation.py",
        "it is one of the looks for changes",
    ),
    "gateway/examining/problems.py": (
        "gateway/test_examination.py",
        "it is the list of what is found",
    ),
    "gateway/examining/rules.py": (
        "gateway/test_examination.py",
        "an examination finds them together",
    ),
    "gateway/factory.py": (
        "interop/test_endpoints.py",
        "programs that embed the gateway use it",
    ),
    "gateway/generation.py": (
        "gateway/test_sharing.py",
        "it is built of what generations share",
    ),
    "gateway/watched.py": ("gateway/test_reload.py", "a reload looks at these files"),
    "client/logins/login.py": ("client/test_socks.py", "dialogues ask logins by it"),
    "client/logins/none.py": ("client/test_socks.py", "most dialogues have no login"),
    "client/carrier.py": ("client/test_endpoint.py", "endpoints are carried by it"),
    "client/reach.py": ("client/test_endpoint.py", "endpoints connect by it"),
    "client/ending.py": ("interop/test_client.py", "a gateway tells what has ended"),
    "client/fastopen.py": ("interop/fastopening.py", "the kernel fills the SYN"),
    "client/web.py": ("interop/test_client.py", "it needs real web servers"),
    "client/dialling.py": ("interop/test_connect.py", "socksgw connect is made of it"),
    "client/standard.py": ("interop/test_connect.py", "socksgw connect is made of it"),
    "client/tls.py": ("interop/test_client.py", "it needs a real proxy with TLS"),
    "client/proxy.py": ("client/test_socks.py", "each kind of proxy is one"),
    "interfaces/credentials.py": (
        "login/test_portal.py",
        "the Portal treats them each in its way",
    ),
    "interfaces/methods.py": (
        "testing/test_contract.py",
        "the contract asks for them",
    ),
    "interfaces/stores.py": (
        "login/test_checkers.py",
        "checkers are made by them",
    ),
    "interfaces/timing.py": ("accept/test_inbound.py", "a client has one"),
    "interfaces/users.py": ("policy/test_rules.py", "the rules ask about them"),
    "login/credentials.py": ("login/test_portal.py", "the Portal's logins use it"),
    "login/realm.py": ("login/test_portal.py", "the Portal has one realm"),
    "login/stores/http.py": ("interop/test_stores.py", "it needs a real service"),
    "login/stores/ldapgroups.py": ("interop/test_ldap.py", "it needs a real slapd"),
    "login/stores/ldaplinks.py": ("interop/test_ldap.py", "it needs a real slapd"),
    "login/stores/ldapservers.py": ("interop/test_ldap.py", "it needs a real slapd"),
    "login/stores/ldapusers.py": ("interop/test_ldap.py", "it needs a real slapd"),
    "negotiate/attempt.py": (
        "negotiate/test_negotiation.py",
        "a negotiation returns one",
    ),
    "negotiate/exchange.py": (
        "negotiate/test_methods.py",
        "it is what a method is given",
    ),
    "testing/answers.py": ("testing/test_contract.py", "it is part of the contract"),
    "wire/httpreplies.py": ("wire/test_http.py", "each answers a request there"),
    "plugins/auth_certificate.py": (
        "negotiate/test_negotiation.py",
        "it sends and reads nothing",
    ),
    "plugins/auth_none.py": (
        "negotiate/test_negotiation.py",
        "it sends and reads nothing",
    ),
    "plugins/gssapi_kerberos.py": ("interop/test_gssapi.py", "it needs a real KDC"),
    "plugins/gssapi_stub.py": (
        "plugins/test_auth_gssapi.py",
        "it stands for Kerberos there",
    ),
    "policy/conditions.py": ("policy/test_rules.py", "a rule is its conditions"),
    "policy/fields.py": ("policy/test_index.py", "the index is read through them"),
    "policy/naming.py": ("policy/test_decision.py", "the policy asks it"),
    "policy/telling.py": ("policy/test_outcome.py", "commands are judged by it"),
    "policy/questions.py": ("policy/test_rules.py", "every test there asks one"),
    "policy/ruleset.py": (
        "policy/test_rules.py",
        "rules in their order are tested there",
    ),
    "policy/tables.py": ("policy/test_index.py", "the index is made of them"),
    "policy/words.py": (
        "policy/test_document.py",
        "the policy's document is read by it",
    ),
    "relay/exit.py": ("relay/test_flows.py", "every flow there leaves by one"),
    "relay/exits.py": ("relay/test_upstream.py", "they are opened there"),
    "relay/flow.py": ("relay/test_flows.py", "each is a flow"),
    "relay/framing.py": ("relay/test_tunnel.py", "a tunnel is framed"),
    "relay/association.py": ("relay/test_flows.py", "it is tested with its flows"),
    "relay/control.py": ("relay/test_flows.py", "it is tested with its flows"),
    "relay/relay.py": ("relay/test_splice.py", "both relays are made of it"),
    "relay/settings.py": ("relay/test_splice.py", "both relays have one"),
    "relay/side.py": ("relay/test_splice.py", "a relay between sockets has two"),
    "relay/tally.py": ("relay/test_flows.py", "flows are counted by it"),
    "relay/watched.py": ("relay/test_splice.py", "each side of a splice is one"),
    "route/asking.py": ("route/test_nameservers.py", "as servers answer"),
    "route/datagrams.py": ("relay/test_flows.py", "flows send through it"),
    "route/hostlookup.py": ("route/test_lookup.py", "it is one of the ways to look up"),
    "route/librarylookup.py": (
        "route/test_lookup.py",
        "it is one of the ways to look up",
    ),
    "route/nameserver.py": ("route/test_nameservers.py", "as servers answer"),
    "route/request.py": ("route/test_resolver.py", "the resolver makes them"),
    "route/outlet.py": ("route/test_dialer.py", "the dialler returns it"),
    "route/race.py": ("route/test_dialer.py", "the dialler connects by it"),
    "route/single.py": ("route/test_dialer.py", "the dialler connects by it"),
    "session/besides.py": (
        "interop/test_limits.py",
        "it matters where several rules have limits",
    ),
    "session/command.py": (
        "session/test_session.py",
        "CONNECT is the command of most tests",
    ),
    "console/selftest/command.py": ("interop/test_selftest.py", "it needs a gateway"),
    **{
        f"console/selftest/{each}.py": (
            "interop/test_selftest.py",
            "it needs a gateway",
        )
        for each in ("behind", "datagrams", "logins", "others", "probes", "witness")
    },
    "client/logins/inside.py": (
        "interop/test_selftest.py",
        "a gateway has TLS inside SOCKS",
    ),
    "plugins/auth_tls.py": ("interop/test_inside.py", "a client of the draft's text"),
    "session/datagrams.py": ("hostile/test_udp.py", "it needs real datagrams"),
    "session/deciding.py": ("session/test_session.py", "every session takes this step"),
    "session/refusing.py": (
        "session/test_session.py",
        "every refused session takes this step",
    ),
    "session/streams.py": (
        "session/test_commands.py",
        "CONNECT and BIND are found by their numbers",
    ),
    "client/logins/certificate.py": (
        "gateway/test_upstreamclients.py",
        "it has no messages of its own",
    ),
    "client/logins/initiator.py": (
        "client/logins/test_gssapi.py",
        "it is what logins ask of a mechanism",
    ),
    "client/logins/kerberos.py": (
        "interop/test_upstreamlogins.py",
        "it needs a KDC",
    ),
    "client/logins/secret.py": (
        "client/logins/test_token.py",
        "a token is a secret in a file",
    ),
    "route/upstreams/patience.py": (
        "route/upstreams/test_hop.py",
        "it ends dialogues with upstreams that do not answer",
    ),
    "system/gssapicontext.py": (
        "interop/test_gssapi.py",
        "it needs a real KDC",
    ),
    "system/gssapierrors.py": (
        "interop/test_gssapi.py",
        "the words are those of the library",
    ),
    "system/above.py": (
        "system/test_protected.py",
        "each connection above another one has it",
    ),
    "system/tlsname.py": (
        "system/test_tlspeer.py",
        "a name is verified in a handshake",
    ),
    "system/tlsfailed.py": ("system/test_tlsover.py", "TLS over a connection fails so"),
    "system/webserver.py": ("interop/test_pac.py", "the program is served by it"),
    "system/sockets.py": (
        "interop/test_sandbox.py",
        "it is about what a sandbox denies",
    ),
    "accept/given.py": ("workers/test_workforce.py", "workers listen so"),
    "accept/held.py": ("workers/test_workforce.py", "processes share its sockets"),
    "gateway/role.py": ("workers/test_workforce.py", "a worker has another one"),
    **{
        f"workers/{each}.py": ("workers/test_workforce.py", "they are real processes")
        for each in ("__main__", "child")
    },
    "workers/orders.py": ("workers/test_share.py", "it tells what is divided"),
    "tap.py": ("hostile/test_firstminute.py", "it starts gateways as people do"),
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
    live = {
        "tests.live.running.Running",
        "tests.live.running.socksgw",
        "tests.live.restarts.Restarted",
        "tests.live.serving.Serving",
    }
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
