"""
A domain controller of Active Directory for the tests: Debian's Samba.

It serves an address of loopback that is its own, at Active Directory's ports, and sees
its own folder where Samba has its files (a mount namespace): nothing of this machine
is touched. Provisioning takes several seconds, so what it made is kept in
C{~/.cache/socksgw-tests}.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import random
import signal
import socket
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.live.servers import missing, program
from tests.tools.certificates import SERVER, Authority, address, dns, pemOf
from tests.tools.waiting import until

__all__ = [
    "BASE",
    "DOMAIN",
    "GROUPS",
    "HOST",
    "LOCKOUT",
    "NO_HOUR",
    "PASSWORD",
    "PEOPLE",
    "REALM",
    "DomainController",
]

REALM: Final = "CORP.TEST"
#: The NetBIOS name of the domain.
DOMAIN: Final = "CORP"
BASE: Final = "DC=corp,DC=test"
PEOPLE: Final = f"OU=People,{BASE}"
GROUPS: Final = f"OU=Groups,{BASE}"
HOST: Final = "dc1.corp.test"
#: Of every account.
PASSWORD: Final = "Sesame-open-42"
ADMINISTRATOR: Final = "administrator@corp.test"
#: Wrong passwords after which an account is locked. A test that sends wrong ones makes
#: an account of its own.
LOCKOUT: Final = 8
#: No hour of the week, as logonHours in LDIF: 168 bits ([MS-SAMR] section 2.2.6.5).
NO_HOUR: Final = base64.b64encode(bytes(21)).decode()

_PORTS: Final = (53, 88, 389, 464, 636, 3268, 3269)
#: Address in what is kept; each controller puts its own in its place.
_FIRST: Final = "127.88.0.2"
_QUOTED: Final = base64.b64encode(f'"{PASSWORD}"'.encode("utf-16-le")).decode()
#: groupType: global, domain local and universal security groups, and a global one for
#: distribution ([MS-ADTS] section 2.2.12).
_GLOBAL, _LOCAL, _UNIVERSAL, _MAIL = -2147483646, -2147483644, -2147483640, 2


def _account(
    name: str, cn: str = "", control: int = 512, parent: str = PEOPLE, *lines: str
) -> str:
    """Return an entry of somebody with a password."""
    kind = "computer" if control & 4096 else "user"
    more = "".join(f"{line}\n" for line in lines)
    return (
        f"dn: CN={cn or name},{parent}\nobjectClass: {kind}\nsAMAccountName: {name}\n"
        f"userAccountControl: {control}\nunicodePwd:: {_QUOTED}\n{more}\n"
    )


def _group(cn: str, kind: int, *members: str, parent: str = GROUPS) -> str:
    name = cn.replace("\\", "").replace(",", "")
    listed = "".join(f"member: {each}\n" for each in members)
    return (
        f"dn: CN={cn},{parent}\nobjectClass: group\nsAMAccountName: {name}\n"
        f"groupType: {kind}\n{listed}\n"
    )


#: Whom the domain has beside its own accounts. C{alice}, and nobody else, has an
#: explicit user principal name of another first part.
_CONTENT: Final = "".join(
    [
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\n\n",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\n\n",
        _account(
            "alice",
            "Alice Adams",
            512,
            PEOPLE,
            "userPrincipalName: alice.adams@corp.test",
        ),
        _account("bob"),
        _account("carol"),
        _account("erin", "", 512, PEOPLE, "userPrincipalName: erin@corp.example"),
        _account("renée", "Müller\\, Renée (3)"),
        _account("disabled", "", 514),
        # 2020-01-01, in units of 100 ns since 1601 ([MS-ADTS] section 2.2.7).
        _account("expired", "", 512, PEOPLE, "accountExpires: 132223104000000000"),
        _account("mustchange", "", 512, PEOPLE, "pwdLastSet: 0"),
        _account("nighttime", "", 512, PEOPLE, f"logonHours:: {NO_HOUR}"),
        _account("oldpassword"),
        _account("elsewhere", "", 512, PEOPLE, "userWorkstations: CLIENT1,CLIENT2"),
        _account("here", "", 512, PEOPLE, "userWorkstations: CLIENT1,DC1"),
        _account("smartcard", "", 512 | 0x40000),
        _account("locked"),
        _account("robot$", "robot"),
        _account("CLIENT1$", "CLIENT1", 4096, f"CN=Computers,{BASE}"),
        # The gateway's accounts: one searches, one has the service's name and key.
        _account("svc-search"),
        _account(
            "svc-socks",
            "",
            512,
            PEOPLE,
            "servicePrincipalName: rcmd/gw.corp.test",
            "servicePrincipalName: rcmd/localhost",
            "msDS-SupportedEncryptionTypes: 24",
        ),
        _group("Contractors", _GLOBAL, f"CN=Alice Adams,{PEOPLE}"),
        _group("Partners", _UNIVERSAL, f"CN=Contractors,{GROUPS}"),
        _group("Everybody", _LOCAL, f"CN=Partners,{GROUPS}", f"CN=bob,{PEOPLE}"),
        _group("Büro\\, Köln", _GLOBAL, f"CN=Müller\\, Renée (3),{PEOPLE}"),
        _group("Engineers", _GLOBAL, f"CN=carol,{PEOPLE}"),
        _group("Newsletter", _MAIL, f"CN=Alice Adams,{PEOPLE}"),
    ]
)
#: {primary} is the RID of Engineers. The name of the LDAP service is what
#: samba_spnupdate(8) adds, which does not run here. Passwords expire after twenty
#: years: Samba lets them last where maxPwdAge is a day or less.
_CHANGES: Final = f"""
dn: {BASE}
changetype: modify
replace: lockoutThreshold
lockoutThreshold: {LOCKOUT}
-
replace: maxPwdAge
maxPwdAge: -6307200000000000

dn: CN=DC1,OU=Domain Controllers,{BASE}
changetype: modify
add: servicePrincipalName
servicePrincipalName: ldap/{HOST}

dn: CN=Windows Authorization Access Group,CN=Builtin,{BASE}
changetype: modify
add: member
member: CN=svc-search,{PEOPLE}
member: CN=svc-socks,{PEOPLE}

dn: CN=carol,{PEOPLE}
changetype: modify
replace: primaryGroupID
primaryGroupID: {{primary}}
"""
#: A password of the year 2000. Samba's rules know only 0 and now; the control goes past
#: them (DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID).
_AGED: Final = f"""
dn: CN={{name}},{PEOPLE}
changetype: modify
replace: pwdLastSet
pwdLastSet: 125911584000000000
"""
_BYPASSING: Final = "--controls=local_oid:1.3.6.1.4.1.7165.4.3.12:1"
#: Where Samba's files are, and the controller's folder that stands there.
_PLACES: Final = {
    "etc": "/etc/samba",
    "lib": "/var/lib/samba",
    "run": "/run/samba",
    "cache": "/var/cache/samba",
    "log": "/var/log/samba",
}
_PROVISION: Final = (
    "domain", "provision", f"--realm={REALM}", f"--domain={DOMAIN}",
    "--server-role=dc", "--dns-backend=SAMBA_INTERNAL", f"--adminpass={PASSWORD}",
    f"--host-name={HOST.partition('.')[0]}", f"--host-ip={_FIRST}",
    # Else this machine's IPv6 addresses would be the controller's.
    f"--option=interfaces={_FIRST}/8", "--option=bind interfaces only=yes",
)  # fmt: skip
_KEYTABS: Final = ("svc-search", "svc-socks")
#: Entries with the controller's address, in its DNS (dnsRecord, [MS-DNSP] 2.3.2.2).
_ADDRESSES: Final = tuple(
    f"{name},CN=MicrosoftDNS,DC={part},{BASE}"
    for name, part in (
        ("DC=dc1,DC=corp.test", "DomainDnsZones"),
        ("DC=@,DC=corp.test", "DomainDnsZones"),
        ("DC=gc,DC=_msdcs.corp.test", "ForestDnsZones"),
    )
)


def _record(ip: str) -> str:
    """Return a dnsRecord of type A as it is provisioned: rank 240, serial 1, 900 s."""
    octets = bytes.fromhex("0400010005f0000001000000000003840000000000000000")
    return base64.b64encode(octets + socket.inet_aton(ip)).decode()


class _Folder:
    """A controller's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs C{command} where Samba's files are these."""
        steps = ["mount --make-rprivate /"]
        for name, place in _PLACES.items():
            steps += [f"mkdir -p {place}", f"mount --bind '{self.path}/{name}' {place}"]
        setup = " && ".join([*steps, 'exec "$@"'])
        unshare = program("unshare", "util-linux")
        return [unshare, "-m", "sh", "-c", setup, "sh", *command]

    def run(self, name: str, package: str, *arguments: str, stdin: str = "") -> str:
        """Run one of Samba's programs to its end, and return what it prints."""
        modules = next(iter(Path("/usr/lib").glob("*/samba/ldb")), None)
        if modules is None:
            missing("Samba's modules (Debian's package samba-dsdb-modules)")
        done = subprocess.run(
            self.inside(program(name, package), *arguments),
            env={**os.environ, "LDB_MODULES_PATH": str(modules)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def database(self, tool: str, stdin: str = "", *arguments: str) -> str:
        """Run a tool on the database of the domain."""
        return self.run(
            tool, "ldb-tools", "-H", "/var/lib/samba/private/sam.ldb", *arguments,
            stdin=stdin,
        )  # fmt: skip

    def age(self, name: str) -> None:
        """Have an account's password be older than the domain allows."""
        self.database("ldbmodify", _AGED.format(name=name), _BYPASSING)


def _provisioned(where: Path) -> None:
    """Make a domain."""
    folder = _Folder(where)
    for name in _PLACES:
        (where / name).mkdir()
    (where / "lib" / "private").mkdir()
    folder.run("samba-tool", "samba-common-bin", *_PROVISION)
    folder.database("ldbadd", _CONTENT)
    found = folder.database("ldbsearch", "", "(cn=Engineers)", "objectSid")
    sid = next(x for x in found.splitlines() if x.startswith("objectSid: "))
    folder.database("ldbmodify", _CHANGES.format(primary=sid.rpartition("-")[2]))
    folder.age("oldpassword")
    for name in _KEYTABS:
        folder.run(
            "samba-tool", "samba-common-bin", "domain", "exportkeytab",
            f"/var/lib/samba/{name}.keytab", f"--principal={name}",
        )  # fmt: skip


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept() -> Path:
    """Return the archive of a domain, made before if need be."""
    version = subprocess.run(
        [program("samba", "samba-ad-dc"), "--version"],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    made = repr((version, _PROVISION, _CONTENT, _CHANGES, _AGED, _KEYTABS))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "socksgw-tests" / f"samba-{_digest(made)}.tar.gz"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "samba.lock").open("w") as lock:
        # Several processes of a suite want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent) as name:
                where = Path(name)
                _provisioned(where)
                part = where / "made.tar.gz"
                with tarfile.open(part, "w:gz", compresslevel=1) as archive:
                    for each in _PLACES:
                        archive.add(where / each, each)
                part.rename(kept)
    return kept


def _ownAddress() -> str:
    """Return an address of loopback at which no port of a controller is taken."""
    while True:
        found = f"127.{random.randint(80, 250)}.{random.randint(1, 250)}.2"
        try:
            for port in _PORTS:
                with socket.create_server((found, port)):
                    pass
        except OSError:
            continue
        return found


class DomainController:
    """
    A domain controller that serves. Use it as a context.

    Accounts, each with L{PASSWORD}: C{alice} (in Contractors, which is in Partners,
    which is in Everybody), C{bob} (in Everybody), C{carol} (whose primary group is
    Engineers), C{erin} (explicit user principal name C{erin@corp.example}), C{renée} (in
    C{Büro, Köln}); C{disabled}, C{expired}, C{locked}, C{mustchange}, C{oldpassword},
    C{nighttime} (who may never log on), C{elsewhere} (whose workstations are others
    than the controller), C{here} (with the controller among them), C{smartcard} (who
    needs one); C{CLIENT1$}, and the user C{robot$}; C{svc-search}, and
    C{svc-socks}, the account of C{rcmd/gw.corp.test}, which may read tokenGroups.

    @ivar address: where it serves LDAP (389, StartTLS), LDAPS (636), the global catalog
        (3268, 3269), Kerberos (88) and DNS (53, for the zone C{corp.test}).
    @ivar ca: the file of the authority that has signed its certificate, which is for
        L{HOST} and C{address}.
    @ivar authority: that authority.
    @ivar password: the file of C{svc-search}'s password.
    @ivar keytabs: files by account: C{svc-search} and C{svc-socks}.
    @ivar environment: what Kerberos' clients need to find it.
    """

    def __init__(self, directory: Path) -> None:
        if os.geteuid() != 0:
            missing("root, for Active Directory's ports and a mount namespace")
        program("samba", "samba-ad-dc")
        directory.mkdir(parents=True)
        self.directory = directory
        self._folder = _Folder(directory)
        with tarfile.open(_kept()) as archive:
            archive.extractall(directory, filter="fully_trusted")
        self.address = _ownAddress()
        self.authority = Authority("Corp CA")
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(pemOf(self.authority.certificate))
        self.certify(self.authority)
        self._configure()
        self.password = directory / "search-password"
        self.password.touch(0o600)
        self.password.write_text(f"{PASSWORD}\n")
        self.keytabs = {x: directory / "lib" / f"{x}.keytab" for x in _KEYTABS}
        self._process: subprocess.Popen[bytes] | None = None

    def _configure(self) -> None:
        (self.directory / "etc" / "smb.conf").write_text(
            f"""
[global]
 netbios name = {HOST.partition(".")[0]}
 realm = {REALM}
 workgroup = {DOMAIN}
 server role = active directory domain controller
 server services = ldap, cldap, kdc, dns
 interfaces = {self.address}/8
 bind interfaces only = yes
 allow dns updates = disabled
 dns forwarder =
 tls certfile = {self.directory}/dc.pem
 tls keyfile = {self.directory}/dc.key
 tls cafile = {self.directory}/ca.pem
"""
        )
        own, first = _record(self.address), _record(_FIRST)
        change = "changetype: modify\ndelete: dnsRecord\ndnsRecord:: {}\n-\n"
        change += "add: dnsRecord\ndnsRecord:: {}\n\n"
        self._folder.database(
            "ldbmodify",
            "".join(f"dn: {x}\n{change.format(first, own)}" for x in _ADDRESSES),
        )
        config = self.directory / "krb5.conf"
        config.write_text(
            f"""
[libdefaults]
 default_realm = {REALM}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {REALM} = {{
  kdc = {self.address}:88
  kpasswd_server = {self.address}:464
 }}
[domain_realm]
 .corp.test = {REALM}
 localhost = {REALM}
"""
        )
        self.environment = {
            "KRB5_CONFIG": str(config),
            "KRB5RCACHEDIR": str(self.directory),
            "KRB5CCNAME": f"FILE:{self.directory}/nobody",
            "KRB5_KTNAME": f"FILE:{self.directory}/none",
        }

    def certify(self, authority: Authority) -> None:
        """Have a certificate by this authority, from the next start on."""
        names = (dns(HOST), address(self.address))
        authority.issue(*names, usage=(SERVER,)).write(self.directory, "dc")

    # Running.

    def start(self) -> None:
        """Serve."""
        command = [program("samba", "samba-ad-dc"), "-F", "--no-process-group"]
        command += ["-M", "single", "--debug-stdout", "-d", "1"]
        with (self.directory / "samba.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._folder.inside(*command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            for port in (53, 88, 636, 3269):
                until(lambda port=port: self._takes(port), 30)
        except BaseException:
            self.stop()
            raise

    def _takes(self, port: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            socket.create_connection((self.address, port), 5).close()
        except OSError:
            return False
        return True

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.directory / "samba.log").read_text(errors="replace")

    def stop(self) -> None:
        """Serve no more."""
        if self._process is not None:
            self.resume()
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def hang(self) -> None:
        """The kernel goes on accepting; nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> DomainController:
        self.start()
        try:
            self.lock("locked")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What an administrator does.

    def _ldap(
        self, name: str, *arguments: str, stdin: str = "", user: str = ADMINISTRATOR,
        password: str = PASSWORD,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        command = [program(name, "ldap-utils"), "-x", "-H", f"ldaps://{self.address}"]
        return subprocess.run(
            [*command, "-D", user, "-w", password, *arguments],
            env={**os.environ, "LDAPTLS_CACERT": str(self.ca)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def modify(self, ldif: str) -> None:
        """Apply LDIF."""
        done = self._ldap("ldapmodify", stdin=ldif)
        assert done.returncode == 0, done.stderr

    def account(self, name: str, cn: str = "", control: int = 512) -> str:
        """
        Add an account, with L{PASSWORD}.

        @return: its distinguished name.
        """
        entry = _account(name, cn, control).replace("\n", "\nchangetype: add\n", 1)
        self.modify(entry)
        return f"CN={cn or name},{PEOPLE}"

    def group(self, cn: str, *members: str) -> str:
        """
        Add a global security group.

        @return: its distinguished name.
        """
        entry = _group(cn, _GLOBAL, *members)
        self.modify(entry.replace("\n", "\nchangetype: add\n", 1))
        return f"CN={cn},{GROUPS}"

    def age(self, name: str) -> None:
        """Have an account's password expire."""
        self._folder.age(name)

    def know(self, name: str, ip: str) -> None:
        """Have its DNS know the address of a name of C{corp.test}."""
        zone = f"DC=corp.test,CN=MicrosoftDNS,DC=DomainDnsZones,{BASE}"
        self.modify(
            f"dn: DC={name},{zone}\nchangetype: add\nobjectClass: dnsNode\n"
            f"dnsRecord:: {_record(ip)}\n"
        )

    def lock(self, name: str) -> None:
        """Send as many wrong passwords as it takes to have an account locked."""
        for _ in range(LOCKOUT):
            done = self._ldap("ldapwhoami", user=f"{DOMAIN}\\{name}", password="wrong")
            assert done.returncode == 49, done.stderr

    def value(self, dn: str, attribute: str) -> str:
        """Return the text of an attribute of one entry; of a SID, in its usual form."""
        found = self._folder.database(
            "ldbsearch", "", "-b", dn, "-s", "base", "--", "(objectClass=*)", attribute
        )
        start = f"{attribute}: "
        lines = [x for x in found.splitlines() if x.startswith(start)]
        assert lines, found
        return lines[0].removeprefix(start)

    # What its clients want.

    def table(self, *lines: str, url: str = "", name: str = "ad") -> str:
        """An C{[[auth.checker]]} of the flavor C{ad} that asks it."""
        return "\n".join(
            [
                f'[[auth.checker]]\nname = "{name}"\nkind = "ldap"\nflavor = "ad"',
                f'url = ["{url or f"ldaps://{self.address}"}"]',
                f'ca = "{self.ca}"',
                f'bind_dn = "CN=svc-search,{PEOPLE}"',
                f'bind_password_file = "{self.password}"',
                *(
                    []
                    if any(x.startswith("base") for x in lines)
                    else [f'base = "{BASE}"']
                ),
                *lines,
                "",
            ]
        )

    def tickets(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Get an account a ticket, and return the environment with it."""
        cache = f"FILE:{self.directory}/tickets-{name}"
        done = subprocess.run(
            [program("kinit", "krb5-user"), "-c", cache, name],
            env={**os.environ, **self.environment},
            input=f"{password}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return {**self.environment, "KRB5CCNAME": cache}

    def resolving(self, *command: str) -> list[str]:
        """
        Return a command that runs C{command} where the domain's names are known.

        Its resolver is the controller's DNS, in a mount namespace of its own.
        """
        resolver, hosts = self.directory / "resolv.conf", self.directory / "hosts"
        resolver.write_text(f"nameserver {self.address}\nsearch corp.test\n")
        hosts.write_text(f"127.0.0.1 localhost gw.corp.test\n{self.address} {HOST}\n")
        steps = ["mount --make-rprivate /", 'exec "$@"']
        for file in (resolver, hosts):
            real = Path("/etc", file.name).resolve()
            steps.insert(1, f"mount --bind '{file}' '{real}'")
        setup = " && ".join(steps)
        unshare = program("unshare", "util-linux")
        return [unshare, "-m", "sh", "-c", setup, "sh", *command]
