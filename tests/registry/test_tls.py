"""A registry with a certificate of a private authority."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.bench.requirement import program
from deploy.bench.workspace import Workspace, free_port
from registry.client import RegistryClient
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from tests.registry.conftest import MakeImage, MakePush

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Secure:
    host: str
    certificate: Path


def _write_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench registry")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "registry.crt", directory / "registry.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def secure(bench: Workspace) -> Iterator[Secure]:
    home, host = bench.directory("tls-registry"), f"127.0.0.1:{free_port()}"
    certificate, key = _write_certificate(home)
    config = home / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {home}/store}}}}\n"
        f'http: {{addr: "{host}", secret: bench, tls: {{certificate: {certificate}, key: {key}}}}}\n'
    )

    def answers() -> bool:
        try:
            return requests.get(f"https://{host}/v2/", timeout=5, verify=str(certificate)).ok
        except requests.ConnectionError:
            return False

    daemon = bench.start([program("docker-registry"), "serve", str(config)], log=home / "log", ready=answers)
    yield Secure(host, certificate)
    daemon.stop()


def test_a_private_authority_is_trusted_when_named(
    secure: Secure, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(secure.host)
    push.client = RegistryClient(
        secure.host, credentials=CredentialStore(None), ca_bundle=secure.certificate, timeout=10
    )
    pushed = push(make_image())
    assert push.types()[-1] == "push_succeeded"
    assert pushed.size > 0


def test_an_unknown_authority_is_not(secure: Secure) -> None:
    client = RegistryClient(secure.host, credentials=CredentialStore(None), timeout=10)
    with pytest.raises(RegistryError, match="certificate verify failed") as raised:
        client.ping()
    assert (raised.value.kind, raised.value.permanent) == ("push", True)
