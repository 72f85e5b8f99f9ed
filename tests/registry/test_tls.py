"""A registry with a certificate of a private authority."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from deploy.bench.requirement import program
from deploy.bench.workspace import Workspace, free_port
from registry.client import RegistryClient
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from tests.certificates import write_certificate
from tests.registry.conftest import MakeImage, MakePush

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Secure:
    host: str
    certificate: Path


@pytest.fixture(scope="module")
def secure(bench: Workspace) -> Iterator[Secure]:
    home, host = bench.directory("tls-registry"), f"127.0.0.1:{free_port()}"
    certificate, key = write_certificate(home)
    config = home / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {home}/store}}}}\n"
        f'http: {{addr: "{host}", secret: bench, tls: {{certificate: {certificate}, key: {key}}}}}\n'
    )

    def answers() -> bool:
        try:
            return requests.get(f"https://{host}/v2/", timeout=5, verify=str(certificate)).ok
        except requests.RequestException:
            return False

    daemon = bench.start([program("docker-registry"), "serve", str(config)], log=home / "log", ready=answers)
    yield Secure(host, certificate)
    daemon.stop()


def test_a_private_authority_is_trusted_when_named(
    secure: Secure, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(secure.host)
    push.client = RegistryClient(
        secure.host, credentials=CredentialStore(None), ca_bundle=secure.certificate, timeout=60
    )
    pushed = push(make_image())
    assert push.types()[-1] == "push_succeeded"
    assert pushed.size > 0


@pytest.mark.parametrize("insecure", [False, True])
def test_an_unknown_authority_is_not(secure: Secure, insecure: bool) -> None:
    """Insecure means plain http: passwords go to nobody who only says that it is the registry."""
    client = RegistryClient(secure.host, credentials=CredentialStore(None), insecure=insecure, timeout=60)
    with pytest.raises(RegistryError, match="certificate verify failed") as raised:
        client.ping()
    assert (raised.value.kind, raised.value.permanent) == ("push", True)
