from __future__ import annotations

import base64
import json
import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.commands import CommandRefresher
from registry.credentials import ANONYMOUS, Credential, CredentialStore
from registry.errors import CredentialError, RegistryError

HOST = "r.example:5000"
SECRET = "hunter2hunter2"


def _auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    def write(content: object) -> Path:
        path = tmp_path / "config.json"
        fresh = tmp_path / "config.json.new"
        fresh.write_text(content if isinstance(content, str) else json.dumps(content))
        fresh.replace(path)
        return path

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a docker-credential-test on PATH: a shell script that also counts its calls."""
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def install(script: str) -> Path:
        program = tmp_path / "docker-credential-test"
        program.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> {calls}\n{script}\n')
        program.chmod(0o755)
        return calls

    return install


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": _auth("ci:pass:word")}, Credential("ci", "pass:word")),
        ({"auth": _auth("ci:old\x00\x00")}, Credential("ci", "old")),
        ({"username": "ci", "password": "pw"}, Credential("ci", "pw")),
        ({"auth": _auth("ci:"), "identitytoken": "idt"}, Credential("ci", "", identity_token="idt")),
        ({"registrytoken": "rt"}, Credential(registry_token="rt")),
    ],
)
def test_entries(config: Callable[..., Path], entry: object, expected: Credential) -> None:
    assert CredentialStore(config({"auths": {HOST: entry}}), None).for_host(HOST) == expected


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"http://{HOST}/v2/", f"{HOST}/v1/"])
def test_keys_that_name_a_host(config: Callable[..., Path], key: str) -> None:
    store = CredentialStore(config({"auths": {key: {"auth": _auth("ci:pw")}}}), None)
    assert store.for_host(HOST).username == "ci"


@pytest.mark.parametrize("key", ["r.example", "r.example:5001", "other.r.example:5000", "r.example:50000"])
def test_keys_that_name_another(config: Callable[..., Path], key: str) -> None:
    store = CredentialStore(config({"auths": {key: {"auth": _auth("ci:pw")}}}), None)
    assert store.for_host(HOST) == ANONYMOUS


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_hubs_special_key(config: Callable[..., Path], host: str) -> None:
    path = config({"auths": {"https://index.docker.io/v1/": {"auth": _auth("ci:pw")}}})
    assert CredentialStore(path, None).for_host(host).username == "ci"


def test_without_a_file_everybody_is_anonymous() -> None:
    assert CredentialStore(None, None).for_host(HOST).anonymous


def test_the_file_is_read_again_when_it_changes(config: Callable[..., Path]) -> None:
    store = CredentialStore(config({"auths": {HOST: {"auth": _auth("ci:one")}}}), None)
    assert store.for_host(HOST).password == "one"
    config({"auths": {HOST: {"auth": _auth("ci:two")}}})
    assert store.for_host(HOST).password == "two"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f'{{"auths": {{"{SECRET}', "not valid JSON (line 1"),
        ([SECRET], "must hold a JSON object"),
        ({"auths": [SECRET]}, '"auths" must be an object'),
        ({"auths": {HOST: SECRET}}, f"the entry for {HOST} must be an object"),
        ({"auths": {HOST: {"auth": f"{SECRET}!"}}}, '"auth" is not base64'),
        ({"auths": {HOST: {"auth": _auth(SECRET)}}}, "not base64 of user:password"),
        ({"auths": {HOST: {"password": [SECRET]}}}, '"password" must be a string'),
        ({"credHelpers": {HOST: [SECRET]}}, '"credHelpers" must be'),
        ({"credsStore": {"x": SECRET}}, '"credsStore" must be'),
        ({"credsStore": f"../{SECRET}"}, "characters that none may have"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_malformed_file_is_named_with_its_fault_but_not_its_content(
    config: Callable[..., Path], content: object, fault: str
) -> None:
    path = config(content)
    with pytest.raises(CredentialError) as raised:
        CredentialStore(path, None).for_host(HOST)
    assert fault in str(raised.value)
    assert SECRET not in str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))
    assert "JSONDecodeError" not in shown, "the parser's own error holds the content"
    assert "binascii" not in shown


def test_a_malformed_entry_of_another_registry_is_no_fault(config: Callable[..., Path]) -> None:
    path = config({"auths": {"broken.example": 7, HOST: {"auth": _auth("ci:pw")}}})
    assert CredentialStore(path, None).for_host(HOST).username == "ci"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"absent\.json cannot be read: No such file"):
        CredentialStore(tmp_path / "absent.json", None).for_host(HOST)


def test_a_helper_is_asked_once(config: Callable[..., Path], helper: Callable[[str], Path]) -> None:
    calls = helper("""echo '{"ServerURL":"x","Username":"ci","Secret":"pw"}'""")
    store = CredentialStore(config({"credHelpers": {HOST: "test"}}), None)
    assert [store.for_host(HOST) for _ in range(3)] == [Credential("ci", "pw")] * 3
    assert calls.read_text() == f"get {HOST}\n"


def test_a_store_answers_for_hub_by_its_key(
    config: Callable[..., Path], helper: Callable[[str], Path]
) -> None:
    calls = helper("""echo '{"Username":"<token>","Secret":"idt"}'""")
    store = CredentialStore(config({"credsStore": "test"}), None)
    assert store.for_host("docker.io") == Credential(identity_token="idt")
    assert calls.read_text() == "get https://index.docker.io/v1/\n"


def test_the_file_answers_where_the_store_holds_nothing(
    config: Callable[..., Path], helper: Callable[[str], Path]
) -> None:
    helper("echo credentials not found in native keychain; exit 1")
    path = config({"credsStore": "test", "auths": {HOST: {"auth": _auth("ci:file")}}})
    store = CredentialStore(path, None)
    assert store.for_host(HOST).password == "file"
    assert store.for_host("else.example").anonymous


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (f"echo {SECRET}; echo {SECRET} >&2; exit 3", "failed with exit code 3"),
        (f"echo {SECRET}", "something that is not a credential"),
        ("echo '[]'", "something that is not a credential"),
        pytest.param("sleep 60", r"did not answer within 2 s", marks=pytest.mark.slow),
        pytest.param("(sleep 60 & sleep 60)", r"did not answer within 2 s", marks=pytest.mark.slow),
    ],
)
def test_a_helper_that_fails(
    config: Callable[..., Path],
    helper: Callable[[str], Path],
    capfd: pytest.CaptureFixture[str],
    script: str,
    fault: str,
) -> None:
    helper(script)
    patience = 2 if "sleep" in script else 60
    store = CredentialStore(config({"credHelpers": {HOST: "test"}}), None, helper_timeout=patience)
    with pytest.raises(CredentialError, match=fault) as raised:
        store.for_host(HOST)
    assert SECRET not in str(raised.value) + "".join(capfd.readouterr())


def test_a_helper_that_is_not_installed(config: Callable[..., Path]) -> None:
    store = CredentialStore(config({"credHelpers": {HOST: "nowhere-to-be-found"}}), None)
    with pytest.raises(CredentialError, match="docker-credential-nowhere-to-be-found is not on PATH"):
        store.for_host(HOST)


def test_secrets_are_not_in_the_repr(config: Callable[..., Path]) -> None:
    path = config({"auths": {HOST: {"auth": _auth(f"ci:{SECRET}"), "identitytoken": SECRET}}})
    assert SECRET not in repr(CredentialStore(path, None).for_host(HOST))


def test_what_the_engine_is_given() -> None:
    assert Credential("ci", "pw").engine_auth(HOST) == {
        "username": "ci",
        "password": "pw",
        "serveraddress": HOST,
    }
    assert Credential(identity_token="idt").engine_auth(HOST)["identitytoken"] == "idt"
    assert Credential(registry_token="rt").engine_auth(HOST)["registrytoken"] == "rt"
    assert ANONYMOUS.engine_auth(HOST) == {}


def test_expiry_is_read_from_a_jwt() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_900_000_000}).encode()).decode().rstrip("=")
    assert Credential("ci", f"e30.{claims}.sig").expires_at == 1_900_000_000
    assert Credential(registry_token=f"e30.{claims}.sig").expires_at == 1_900_000_000
    assert Credential("ci", "a.b.c").expires_at is None
    for never in ("1e999", "NaN", "1" + "0" * 400):
        claims = base64.urlsafe_b64encode(f'{{"exp": {never}}}'.encode()).decode()
        assert Credential(registry_token=f"e30.{claims}.sig").expires_at is None


class _Rewriter:
    """A refresher that writes another password each time."""

    def __init__(self, write: Callable[..., Path]) -> None:
        self.runs = 0
        self._write = write
        self.may_finish = threading.Event()
        self.may_finish.set()

    def refresh(self, host: str) -> None:
        self.runs += 1
        self.may_finish.wait(60)
        self._write({"auths": {host: {"auth": _auth(f"ci:new{self.runs}")}}})


def _accept(credential: Credential) -> None:
    assert not credential.anonymous


def test_a_refresh_is_shared_by_all_who_were_rejected(config: Callable[..., Path]) -> None:
    rewriter = _Rewriter(config)
    store = CredentialStore(config({"auths": {HOST: {"auth": _auth("ci:old")}}}), rewriter)
    rejected = store.for_host(HOST)
    rewriter.may_finish.clear()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(store.refresh, HOST, rejected, _accept) for _ in range(20)]
        rewriter.may_finish.set()
        assert {future.result().password for future in waiting} == {"new1"}
    assert store.refresh(HOST, rejected, _accept).password == "new1", "one who comes late finds it done"
    assert rewriter.runs == 1
    assert store.refresh(HOST, store.for_host(HOST), _accept).password == "new2", "the next expiry"


def test_a_refresh_that_is_rejected_changes_nothing(config: Callable[..., Path]) -> None:
    def reject(credential: Credential) -> None:
        raise RegistryError("no", kind="auth_expired")

    store = CredentialStore(config({"auths": {HOST: {"auth": _auth("ci:old")}}}), None)
    rejected = store.for_host(HOST)
    for _ in range(2):
        with pytest.raises(RegistryError, match="no"):
            store.refresh(HOST, rejected, reject)
    assert store.for_host(HOST).generation == 0


def test_a_refresh_asks_the_helper_again(config: Callable[..., Path], helper: Callable[[str], Path]) -> None:
    calls = helper("""echo '{"Username":"ci","Secret":"pw"}'""")
    store = CredentialStore(config({"credHelpers": {HOST: "test"}}), None)
    store.refresh(HOST, store.for_host(HOST), _accept)
    assert calls.read_text().count("get") == 2


def test_a_helper_whose_session_ends_again_is_logged_in_again(
    config: Callable[..., Path], helper: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whoever comes with what a failed look-up left, knows of no refresh before."""
    session, runs = tmp_path / "session", tmp_path / "runs"
    helper(f"""test -e {session} && echo '{{"Username":"ci","Secret":"pw"}}' || exit 1""")
    login = CommandRefresher(["sh", "-c", f"touch {session}; echo once >> {runs}"])
    path = config({"credHelpers": {HOST: "test"}})
    store = CredentialStore(path, login)
    for expiry in (1, 2, 3):
        session.unlink(missing_ok=True)
        os.utime(path, (expiry, expiry))  # else the helper's last answer is still good
        with pytest.raises(CredentialError, match="failed with exit code 1"):
            store.for_host(HOST)
        assert store.refresh(HOST, ANONYMOUS, _accept) == Credential("ci", "pw")
        assert runs.read_text().count("once") == expiry
    assert store.refresh(HOST, ANONYMOUS, _accept).generation == 3, "while the session lasts, it is found"
    assert runs.read_text().count("once") == 3


def test_nothing_can_be_refreshed_where_nothing_is_configured() -> None:
    with pytest.raises(CredentialError, match=f"No credentials for {HOST} are configured"):
        CredentialStore(None, None).refresh(HOST, ANONYMOUS, _accept)


def test_the_refresh_command_is_told_the_host(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    CommandRefresher(["sh", "-c", f'echo "$REGISTRY_HOST" > {seen}']).refresh(HOST)
    assert seen.read_text() == f"{HOST}\n"


def test_a_refresh_command_that_cannot_be_run(tmp_path: Path) -> None:
    script = tmp_path / "renew"
    script.write_text("echo the first line is missing\n")
    script.chmod(0o755)
    with pytest.raises(CredentialError, match="renew could not be run: Exec format error"):
        CommandRefresher([str(script)]).refresh(HOST)


def test_a_refresh_command_that_fails() -> None:
    with pytest.raises(CredentialError, match="sh failed with exit code 7") as raised:
        CommandRefresher(["sh", "-c", f"echo {SECRET} >&2; exit 7"]).refresh(HOST)
    assert SECRET not in str(raised.value)
