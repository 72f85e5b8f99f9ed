"""Certificates of tests."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself: the files of the certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(key, "tests", "tests", key, "127.0.0.1", is_authority=True)
    return _written(directory / "tls.crt", certificate), _written_key(directory / "tls.key", key)


def write_authority(directory: Path, host: str) -> tuple[Path, Path, Path]:
    """Of an authority, and what it signed for the address `host`: both certificates and the second's key."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above = _signed(authority, "authority", "authority", authority, "", is_authority=True)
    certificate = _signed(key, "tests", "authority", authority, host, is_authority=False)
    return (
        _written(directory / "ca.crt", above),
        _written(directory / "tls.crt", certificate),
        _written_key(directory / "tls.key", key),
    )


def _signed(key: Key, name: str, issuer: str, by: Key, host: str, *, is_authority: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if host:
        address = x509.IPAddress(ipaddress.ip_address(host))
        made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return made.sign(by, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _written(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def _written_key(path: Path, key: Key) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
