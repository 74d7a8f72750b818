"""
A directory for the tests: Debian's slapd, with a database, a certificate and
a port of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

from tests.live import raw
from tests.live.running import LOOPBACK
from tests.live.servers import (
    Certificate,
    Daemon,
    freePort,
    program,
)

BASE = "dc=corp,dc=example"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
ADMIN, SECRET = f"cn=admin,{BASE}", "admin-secret-77"
SERVICE = f"cn=gateway,{BASE}"

#: Groups in groups, and in a circle; a name that needs escapes; a password that has to
#: be changed, and one that is too old.
CONTENT = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: corp
dc: corp

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {SERVICE}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: gateway
userPassword: service-secret-88

dn: uid=alice,{PEOPLE}
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Adams
mail: alice@corp.example
userPassword: sesame

dn: uid=bob,{PEOPLE}
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Brown
userPassword: bricks

dn: cn=Müller\\, Renée (3),{PEOPLE}
objectClass: inetOrgPerson
uid: renée
cn: Müller, Renée (3)
sn: Müller
userPassword: geheim

dn: cn=policy,{BASE}
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdMustChange: TRUE
pwdMaxAge: 1000000000

dn: uid=reset,{PEOPLE}
objectClass: inetOrgPerson
uid: reset
cn: Reset
sn: Reset
userPassword: of-the-administrator
pwdReset: TRUE

dn: uid=old,{PEOPLE}
objectClass: inetOrgPerson
uid: old
cn: Old
sn: Old
userPassword: of-long-ago
pwdChangedTime: 19710101000000Z

dn: cn=Contractors,{GROUPS}
objectClass: groupOfNames
cn: Contractors
member: uid=alice,{PEOPLE}
member: cn=Müller\\, Renée (3),{PEOPLE}

dn: cn=Partners,{GROUPS}
objectClass: groupOfNames
cn: Partners
member: cn=Contractors,{GROUPS}

dn: cn=Everybody,{GROUPS}
objectClass: groupOfNames
cn: Everybody
member: cn=Partners,{GROUPS}
member: cn=Everybody,{GROUPS}
member: uid=bob,{PEOPLE}

dn: cn=Büro\\, Köln,{GROUPS}
objectClass: groupOfUniqueNames
cn: Büro, Köln
uniqueMember: cn=Everybody,{GROUPS}
"""

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {d}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
{security}
database mdb
directory {d}/db
suffix "{base}"
rootdn "{admin}"
rootpw {secret}
index objectClass,uid,member eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by self read by * none
overlay ppolicy
ppolicy_default "cn=policy,{base}"
"""


class Directory:
    """
    A slapd that runs. Use it as a context.

    @ivar port: of C{ldap://}, with StartTLS.
    @ivar securePort: of C{ldaps://}.
    @ivar password: the file with the service account's password.
    """

    def __init__(
        self,
        directory: Path,
        certificate: Certificate,
        more: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        """
        @param more: lines of its configuration.
        """
        self.directory = directory
        self._environment = environment or {}
        self.ca = certificate.file
        (directory / "db").mkdir(parents=True)
        self.password = directory / "service-password"
        self.password.write_text("service-secret-88\n")
        self.password.chmod(0o600)
        self._configuration = directory / "slapd.conf"
        self._configuration.write_text(
            more
            + _CONFIGURATION.format(
                d=directory, certificate=certificate.file, key=certificate.key,
                security="", base=BASE, admin=ADMIN, secret=SECRET, service=SERVICE,
            )
        )  # fmt: skip
        content = directory / "content.ldif"
        content.write_text(CONTENT)
        subprocess.run(
            [program("slapadd", "slapd"), "-f", self._configuration, "-l", content],
            check=True,
            capture_output=True,
            timeout=60,
        )
        self.port = freePort(kind=socket.SOCK_STREAM)
        self.securePort = freePort(kind=socket.SOCK_STREAM)
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Serve."""
        urls = f"ldap://127.0.0.1:{self.port}"
        # The second address is not in the certificate.
        for host in ("127.0.0.1", "127.0.0.2"):
            urls += f" ldaps://{host}:{self.securePort}"
        command = [program("slapd", "slapd"), "-f", str(self._configuration)]
        command += ["-h", urls, "-d", "0"]
        environment = {"PATH": os.environ["PATH"], **self._environment}
        log = self.directory / "slapd.log"
        self._daemon = Daemon(command, self.securePort, log, environment)
        self._daemon.__enter__()

    def stop(self) -> None:
        """Serve no more."""
        if self._daemon is not None:
            self.resume()
            self._daemon.__exit__()
            self._daemon = None

    def hang(self) -> None:
        """The kernel goes on accepting; nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.kill(int((self.directory / "slapd.pid").read_text()), number)

    def modify(self, change: str) -> None:
        """Apply LDIF."""
        subprocess.run(
            [program("ldapmodify", "ldap-utils"), "-x", "-H",
             f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", SECRET],
            input=change, text=True, check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def table(self, *lines: str, url: str = "") -> str:
        """An C{[[auth.checker]]} that asks it."""
        url = url or f'"ldaps://127.0.0.1:{self.securePort}"'
        return "\n".join(
            [
                '[[auth.checker]]\nname = "ad"\nkind = "ldap"',
                f"url = [{url}]",
                f'ca = "{self.ca}"\nbase = "{BASE}"',
                f'bind_dn = "{SERVICE}"\nbind_password_file = "{self.password}"',
                *lines,
                "",
            ]
        )

    def __enter__(self) -> Directory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


#: Contractors get to one port, whoever is in a group around theirs to others.
POLICY = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "contractors"
allow = ["connect"]
who = ["@contractors"]
to = ["127.0.0.1"]
[[rule]]
id = "nested"
allow = ["connect"]
who = ["@office", "@staff"]
to = ["127.0.0.2"]
"""
    + f"""
[groups]
contractors = {{ directory = ["CN=contractors, OU=Groups,dc=corp,DC=EXAMPLE"] }}
office = {{ directory = ["cn=B\\\\C3\\\\BCro\\\\, K\\\\C3\\\\B6ln,{GROUPS}"] }}
staff = ["carol"]
"""
    + LOOPBACK
)


def tried(port: int, user: bytes, password: bytes) -> bytes:
    """All that a client hears after its password."""
    with closing(raw.dial(port)) as client:
        client.sendall(raw.GREETING_LOGIN)
        assert raw.exactly(client, 2) == b"\x05\x02"
        client.sendall(raw.login(user, password))
        heard = b""
        while came := client.recv(100):
            heard += came
        return heard


#: RFC 4511: success as LDAPResult (4.1.9), in a BindResponse (4.2.2), in an
#: ExtendedResponse (4.12), in a SearchResultDone (4.5.2).
SUCCESS = b"\x07\x0a\x01\x00\x04\x00\x04\x00"
BOUND = b"\x30\x0cID\x61" + SUCCESS
EXTENDED = b"\x30\x0cID\x78" + SUCCESS
DONE = b"\x30\x0cID\x65" + SUCCESS
