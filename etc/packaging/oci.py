"""
Make an image for containers of the archive of its root: one layer, and what to run.

    python3 oci.py ROOT.tar IMAGE.tar VERSION ARCHITECTURE COMMIT

The image is an OCI image layout in an archive (image-spec 1.0), which has Docker's
C{manifest.json}, too: C{podman load}, C{skopeo} and every C{docker load} take it. The
health check is a field of Docker's, which OCI has no place for; BuildKit writes it
likewise.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path

CONFIG = "/etc/socksgw/gateway.toml"
SECOND = 10**9
MEDIA = "application/vnd.oci.image"


class Layout:
    """An image layout that is written into an archive."""

    def __init__(self, archive: tarfile.TarFile, now: int) -> None:
        self._archive = archive
        self._now = now

    def file(self, name: str, octets: bytes) -> None:
        """Write one file."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(octets), 0o644, self._now
        self._archive.addfile(entry, io.BytesIO(octets))

    def json(self, name: str, value: object) -> None:
        """Write one file of JSON."""
        self.file(name, json.dumps(value, indent=1).encode())

    def blob(self, kind: str, octets: bytes) -> dict[str, object]:
        """Write what is named by its digest, and return its descriptor."""
        digest = hashlib.sha256(octets).hexdigest()
        self.file(f"blobs/sha256/{digest}", octets)
        return {
            "mediaType": f"{MEDIA}.{kind}",
            "digest": f"sha256:{digest}",
            "size": len(octets),
        }


def path(descriptor: dict[str, object]) -> str:
    """Return where the blob of a descriptor stands."""
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def image(
    root: Path, target: Path, version: str, architecture: str, commit: str
) -> None:
    """Make the image."""
    now = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    # The upstream version (Debian's Policy 5.6.12); a tag has no "~" and no "+".
    tag = version.rpartition("-")[0].replace("~", "-").replace("+", "-")
    name = f"localhost/socksgw:{tag}"
    labels = {
        "org.opencontainers.image.title": "socksgw",
        "org.opencontainers.image.description": "SOCKS gateway with policy, login and "
        "journal",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.licenses": "MIT",
    }
    uncompressed = root.read_bytes()
    config = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": "1080:1080",
            "ExposedPorts": {"1080/tcp": {}},
            "Env": [
                "PATH=/usr/bin:/bin",
                "LC_ALL=C.UTF-8",
                # As in etc/socksgw.service.
                "PYTHONMALLOC=malloc",
                # Kerberos' replay cache: /var/tmp is read-only.
                "KRB5RCACHEDIR=/var/lib/socksgw",
            ],
            "Cmd": [
                "/usr/lib/socksgw/bin/twistd",
                "--nodaemon",
                "--pidfile=",
                "socksgw",
                "--config",
                CONFIG,
            ],
            "Volumes": {"/var/lib/socksgw": {}, "/run/socksgw": {}},
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": labels,
            "Healthcheck": {
                "Test": ["CMD", "socksgw", "status", "--ready", "--config", CONFIG],
                "Interval": 30 * SECOND,
                "Timeout": 10 * SECOND,
                "StartPeriod": 10 * SECOND,
                "Retries": 3,
            },
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(uncompressed).hexdigest()}"],
        },
        "history": [{"created": created, "created_by": "make image"}],
    }
    part = target.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
        layout = Layout(archive, now)
        layout.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        layer = layout.blob(
            "layer.v1.tar+gzip", gzip.compress(uncompressed, 6, mtime=0)
        )
        described = layout.blob("config.v1+json", json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": described,
            "layers": [layer],
            "annotations": labels,
        }
        listed = layout.blob("manifest.v1+json", json.dumps(manifest).encode())
        listed["annotations"] = {
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
        }
        index = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.index.v1+json",
            "manifests": [listed],
        }
        layout.json("index.json", index)
        layout.json(
            "manifest.json",
            [
                {
                    "Config": path(described),
                    "RepoTags": [name],
                    "Layers": [path(layer)],
                }
            ],
        )
    part.rename(target)


if __name__ == "__main__":
    image(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
