"""A hub's secret, tokens that are signed with it, and certificates."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class Keys:
    def __init__(self) -> None:
        self._secret = secrets.token_hex(32)

    def flags(self, folder: Path) -> list[str]:
        """The flags for a hub that has the secret."""
        file = folder / "secret"
        file.write_text(self._secret)
        return ["--auth-hs256-secret-file", str(file)]

    def token(self, *, seconds: float = 3_600, **rights: Any) -> str:
        """A token for so many seconds from now on; with less than nothing, one that has expired."""
        text = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part({'exp': time.time() + seconds, 'tidings': rights})}"
        signature = hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).digest()
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def authority(folder: Path) -> tuple[Path, list[str]]:
    """A certificate authority of the tests' own, and the flags for a hub whose certificate it has signed."""
    ca, ca_key, request, key, certificate = (
        folder / name for name in ("ca.pem", "ca-key.pem", "hub.csr", "hub-key.pem", "hub.pem")
    )
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=Test CA", "-keyout", ca_key, "-out", ca)
    _openssl("req", *curve, "-subj", "/CN=hub", "-keyout", key, "-out", request)
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    signed_by: list[str | Path] = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions]
    _openssl("x509", "-req", "-in", request, *signed_by, "-out", certificate)
    return ca, ["--tls-certificate", str(certificate), "--tls-key", str(key)]


def self_signed(folder: Path) -> tuple[Path, list[str]]:
    """A certificate that signs itself, as the README of the whole makes one, and the flags for a hub that shows it."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=hub.example", "-addext", "subjectAltName=IP:127.0.0.1"]
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, "-keyout", key, "-out", certificate)
    return certificate, ["--tls-certificate", str(certificate), "--tls-key", str(key)]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
