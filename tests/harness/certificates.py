"""Certificates for tests of TLS, made by OpenSSL: an authority, a server and a client of it, and a stranger."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files in a folder."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def make_certificates(folder: Path) -> Certificates:
    """``server`` is the loopback address, ``elsewhere`` another host of the same authority, ``client`` calls; ``stranger`` trusts itself."""
    made = Certificates(folder)
    for name in ("authority", "stranger"):
        _openssl(folder, "req", "-x509", *_new_key(name), "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.pem")
    for name, host in (("server", "IP:127.0.0.1"), ("elsewhere", "DNS:elsewhere.example"), ("client", "DNS:client.example")):
        _openssl(folder, "req", *_new_key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        signed_by = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial")
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed_by, "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return made


def _new_key(name: str) -> tuple[str, ...]:
    return ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
