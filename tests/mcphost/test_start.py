"""What a start refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.test import Client

from deploy.bench.workspace import free_port
from tests.certificates import write_certificate

ROOT = Path(__file__).parents[2]
KEYS = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789-abcdef",
    "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}


def manage(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": os.environ["PATH"], "ENV_FILE": str(tmp_path / "env"), "DATA_DIR": str(tmp_path / "data")}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *words],
        env={**own, **KEYS, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["check", "up"])
@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("BIND_PORT", "99999", "a whole number from 1 to 65535"),
        ("REGISTRY_ARCH_TARGETS", "linux/amd65", "linux/amd64, linux/arm/v6"),
        ("REGISTRY_PUSH_RETRIES", "-1", "a whole number from 1 to 20"),
        ("REGISTRY_CA_BUNDLE", "/nowhere/ca.pem", "a file that this process can read"),
        ("SECRET_KEY_FILE", "/nowhere/key", "a readable text file"),
    ],
)
def test_a_bad_setting_is_one_line_and_starts_nothing(
    tmp_path: Path, command: str, name: str, value: str, accepted: str
) -> None:
    extra = {"SECRET_KEY": ""} if name == "SECRET_KEY_FILE" else {}
    ended = manage(tmp_path, command, **extra, **{name: value})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}={value}: ")
    assert accepted in line
    assert not (tmp_path / "data").exists()


def test_an_argument_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    ended = manage(tmp_path, "redeploy", os.fsdecode(b"caf\xe9"))
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("An argument is not UTF-8: ")
    assert line.endswith("manage.py redeploy caf\\udce9")


@pytest.mark.parametrize(
    ("number", "setting", "value"),
    [
        ("E001", "SECRET_ENCRYPTION_KEYS", "not-a-fernet-key"),
        ("E002", "CONTAINER_RUNTIME", "kubernetes"),
        ("E003", "REGISTRY_AUTH_DOCKERCONFIG", "/nowhere/config.json"),
        ("E004", "PUBLIC_URL", "https://"),
        ("E004", "PUBLIC_URL", "https://mcp.example.org/prefix"),
        ("E005", "DATA_DIR", f"{__file__}/data"),
        ("E006", "K8S_CONTEXT", "elsewhere"),
        ("E007", "K8S_CALLER_NETWORKS", "10.0.0.1/8"),
        ("E008", "REGISTRY_CA_BUNDLE", __file__),
        ("E008", "BUILD_CA_BUNDLE", __file__),
    ],
)
def test_what_only_a_start_can_tell(tmp_path: Path, number: str, setting: str, value: str) -> None:
    ended = manage(tmp_path, "up", **{setting: value})
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"CommandError: {setting}")
    assert line.endswith(f"(mcphost.{number})")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("part", "refused"), [("gateway", False), ("worker", True)])
def test_a_pod_that_only_serves_doors_needs_no_account_at_the_cluster(
    tmp_path: Path, part: str, refused: bool
) -> None:
    cluster = {
        "CONTAINER_RUNTIME": "kubernetes",
        "REGISTRY": "registry.example.org",
        "KUBECONFIG": "/nowhere",
    }
    away = {"DATABASE_URL": "sqlite:////nowhere/db.sqlite3", "BROKER_URL": "redis://127.0.0.1:1/0"}
    ended = manage(tmp_path, "up", "--only", part, BIND_PORT=str(free_port()), **cluster, **away)
    assert ended.returncode == 1
    assert ("mcphost.E006" in ended.stderr) == refused
    assert ("could not be migrated" in ended.stderr) != refused


@pytest.mark.parametrize(
    ("content", "number", "words"),
    [
        ("{", "E003", "is not valid JSON"),
        ('{"kind": "SealedSecret"}', "E003", "is a Kubernetes SealedSecret"),
        ('{"registry": "r.example", "password": "hunter2"}', "E003", "names no login"),
        ("{}", "W002", "names no login"),
        ('{"auths": {"r.example": {}}}', "W002", "the entry for r.example is empty"),
        ('{"auths": {"r.example": {"auth": "hunter2!"}}}', "W002", '"auth" is not base64'),
    ],
)
def test_an_odd_file_of_logins_is_told_of_at_the_start(
    settings: Any, tmp_path: Path, content: str, number: str, words: str
) -> None:
    settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
    settings.REGISTRY_AUTH_DOCKERCONFIG.write_text(content)
    told = [each for each in run_checks(tags=["mcphost"]) if "DOCKERCONFIG" in each.msg]
    assert [each.id for each in told] == [f"mcphost.{number}"]
    assert words in told[0].msg
    assert "hunter2" not in told[0].msg


def test_a_key_that_is_none_is_not_shown(settings: Any) -> None:
    settings.SECRET_ENCRYPTION_KEYS = [KEYS["SECRET_ENCRYPTION_KEYS"], "pass-word"]
    (fault,) = run_checks(tags=["mcphost"])
    assert "key 2" in fault.msg
    assert "pass-word" not in fault.msg + fault.hint


def test_credentials_must_be_a_json_object(settings: Any, tmp_path: Path) -> None:
    for held, why in (("{", "is not valid JSON"), ("[]", "must hold a JSON object")):
        settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
        settings.REGISTRY_AUTH_DOCKERCONFIG.write_text(held)
        assert [why in fault.msg for fault in run_checks(tags=["mcphost"])] == [True]


def test_authorities_are_certificates(settings: Any, tmp_path: Path) -> None:
    settings.REGISTRY_CA_BUNDLE, settings.BUILD_CA_BUNDLE = write_certificate(tmp_path)
    (fault,) = run_checks(tags=["mcphost"])
    assert fault.msg.startswith(f"BUILD_CA_BUNDLE={tmp_path / 'tls.key'}: ")
    assert "must be a PEM file" in fault.hint

    settings.BUILD_CA_BUNDLE = settings.REGISTRY_CA_BUNDLE
    assert not run_checks(tags=["mcphost"])


def test_django_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    https = {"PUBLIC_URL": "https://mcp.example.org", "BEHIND_PROXY": "true"}
    for given in ({}, https):
        ended = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **given)
        assert ended.returncode == 0, ended.stderr


def test_every_change_of_a_model_has_its_migration(tmp_path: Path) -> None:
    ended = manage(tmp_path, "makemigrations", "--check", "--dry-run")
    assert ended.returncode == 0, ended.stdout


def test_a_host_that_is_not_known_is_told_which_setting_allows_it() -> None:
    answer = Client().get("/admin/", headers={"host": "evil.example.org:3000"})
    assert answer.status_code == 400
    assert b"ALLOWED_HOSTS=evil.example.org" in answer.content


def test_the_public_name_is_allowed_without_more(tmp_path: Path) -> None:
    code = "from django.conf import settings; print(settings.ALLOWED_HOSTS)"
    ended = manage(tmp_path, "shell", "-v0", "-c", code, PUBLIC_URL="https://mcp.example.org:8443")
    assert "'mcp.example.org'" in ended.stdout


def test_a_first_prepare_makes_its_directory_or_says_in_one_line_why_not(tmp_path: Path) -> None:
    done = manage(tmp_path, "prepare")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    refused = manage(tmp_path, "prepare", DATA_DIR="/proc/nowhere")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "CommandError: DATA_DIR=/proc/nowhere cannot be used: No such file or directory."
    ]
