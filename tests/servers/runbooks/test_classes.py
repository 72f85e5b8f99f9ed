"""Each failure, in the words of whoever meets it, is known for what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from hosting import handshake
from hosting.build_settings import BuildSettings
from hosting.builder import build_errors, emulation, install_errors
from hosting.builder.context import no_space
from hosting.builder.progress import Progress
from hosting.deadline import Deadline
from hosting.errors import BuildError, Cancelled, RuntimeFault, SourceError, TimedOut, UserError
from hosting.handshake import EXITED
from hosting.mcp_client import NotServing
from hosting.runtimes import docker_faults, kube_faults, kube_pods
from hosting.runtimes.base import RunStatus
from hosting.runtimes.exit_words import describe_exit
from hosting.sources import interpreters
from hosting.tooling import Outcome
from hosting.why_ended import why
from registry.engine import sort_fault
from registry.engine_errors import from_engine
from registry.errors import CredentialError, RegistryError, from_response
from registry.reasons import Reason
from registry.reference import Reference
from servers.deploying import registries
from servers.runbooks.facts import Event, Facts, StepFacts
from servers.runbooks.remedies import REMEDIES
from servers.runbooks.table import RUNBOOKS, runbook_of

TARGET = Reference.parse("registry.example.org:5000/team/notes:3-9f2c1ab")


def of_push(error: RegistryError) -> UserError:
    """As the deployer tells it."""
    try:
        with registries.faults(f"The push to {TARGET.endpoint} (linux/arm64)", TARGET, "notes"):
            raise error
    except UserError as told:
        return told


def http(status: int, body: bytes = b"") -> UserError:
    return of_push(from_response(status, {}, body, "PUT manifest"))


def exited(code: int) -> UserError:
    words = f"The server has exited before it answered. {describe_exit(code)}"
    said = f"{words} It wrote last: “denied: no space left ⏎ 429”."
    return RuntimeFault(said, hint=EXITED, reason=Reason.CRASHED)


def explained(*lines: str) -> UserError:
    """As the step tells it, of a server that wrote these lines and ended."""
    told = why(lines, stdio=True)
    assert told is not None
    return RuntimeFault(f"The server has exited before it answered. {told.says}", reason=told.reason)


def pod(**status: Any) -> UserError:
    fault = kube_pods.state_of({"metadata": {"name": "notes"}, "status": status}).fault
    assert fault is not None
    return fault


def nobody_answers(status: RunStatus = RunStatus(True)) -> UserError:  # noqa: B008 (it is frozen)
    """As the handshake tells it of a port where nothing listens."""
    try:
        handshake.wait_healthy("http://127.0.0.1:1/mcp", deadline=Deadline.of(0.5), alive=lambda: status)
    except UserError as told:
        return told
    raise AssertionError("somebody answers at port 1")


def no_emulation() -> UserError:
    try:
        emulation.require(("linux/nowhere",), binfmt=Path("/nowhere"), outside_container=True)
    except UserError as told:
        return told
    raise AssertionError("it is emulated")


CASES: list[tuple[str, UserError]] = [
    ("auth-expired", of_push(from_engine("unauthorized: authentication required"))),
    ("packages", install_errors.translate(
        Outcome(1, ("Because there is no version of mcp==99 and you require mcp==99",)), "uv pip"
    )),
    ("packages", interpreters.missing("3.12", ("3.11",), BuildSettings())),
    ("module", explained("ModuleNotFoundError: No module named 'mcp.x'")),
    ("module", explained("AttributeError: 'Server' object has no attribute 'list_resources'")),
    ("configuration", explained("Error: API_KEY is required")),
    ("configuration", explained("Server listening on http://127.0.0.1:3000")),
    ("auth-expired", of_push(CredentialError("No credentials for registry.example.org are configured."))),
    ("denied", of_push(from_engine("denied: requested access to the resource is denied"))),
    ("denied", http(403, b'{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}')),
    ("network", of_push(from_engine("Put: dial tcp 10.0.0.1:443: connect: connection refused"))),
    ("network", of_push(from_engine("write tcp 10.0.0.1:1->10.0.0.2:443: connection reset by peer"))),
    ("network", http(503)),
    ("network", of_push(RegistryError("No progress.", kind="push", reason=Reason.STALLED))),
    ("rate-limit", of_push(from_engine("toomanyrequests: You have reached your pull rate limit."))),
    ("rate-limit", http(429)),
    ("registry-full", of_push(from_engine("write /var/lib/registry/x: no space left on device"))),
    ("registry-full", of_push(from_engine("denied: quota exceeded for project team"))),
    ("registry-full", http(507)),
    ("registry-full", http(413)),
    ("untrusted", of_push(from_engine("x509: certificate signed by unknown authority"))),
    ("untrusted", of_push(from_engine("http: server gave HTTP response to HTTPS client"))),
    ("image-lost", of_push(from_engine("No such image: mcphost/notes:3-linux-arm64"))),
    ("registry-other", of_push(from_engine("the moon is in the wrong phase"))),
    ("engine-away", of_push(sort_fault(DockerException("No such file")))),
    ("engine-away", build_errors.engine_away()),
    ("engine-full", no_space()),
    ("engine-full", docker_faults.from_text("write /x: no space left on device")),
    ("emulation", no_emulation()),
    ("build", build_errors.translate(Progress(print), 1, "linux/arm64")),
    ("build", BuildError("The step RUN make ended with exit code 2 (for linux/arm64).\nno rule")),
    ("source", SourceError("There is no repository at https://git.example.org/x.")),
    ("crash", exited(3)),
    ("crash", exited(137)),
    ("crash", nobody_answers(RunStatus(False, 1, "It exited with code 1."))),
    ("crash", nobody_answers(RunStatus(True, reason="Restarting (1 of 3).", cause=Reason.CRASHED))),
    ("crash", pod(containerStatuses=[{"name": "server", "state": {"terminated": {"reason": "OOMKilled"}}}])),
    ("never-healthy", nobody_answers()),
    ("never-healthy", NotServing("It speaks no version of MCP that is known here.")),
    ("image-pull", docker_faults.from_text("unauthorized: authentication required")),
    ("image-pull", kube_pods.pull_fault("unauthorized: authentication required")),
    ("image-pull", kube_pods.pull_fault("manifest unknown")),
    ("image-pull", kube_pods.pull_fault("dial tcp: i/o timeout")),
    ("node-full", kube_faults.from_status(403, "exceeded quota: compute, requested: memory=1Gi")),
    ("node-full", pod(conditions=[
        {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient memory."}
    ])),
    ("node-full", pod(phase="Failed", reason="Evicted", message="ephemeral-storage")),
    ("start", RuntimeFault("The engine does not accept the server's limits.")),
    ("timeout", TimedOut("The build took longer than it may.")),
    ("cancelled", Cancelled("Cancelled on request.")),
    ("lost-worker", UserError("The worker was lost 3 times in a row.", reason=Reason.WORKER_LOST)),
    ("internal", UserError("An internal error.", hint="The platform's log has it under reference 1a2b3c4d.")),
]  # fmt: skip


def failed(error: UserError, **more: Any) -> Facts:
    status = "cancelled" if isinstance(error, Cancelled) else "failed"
    return Facts(slug="notes", number=4, status=status, error_kind=error.kind,
        reason=error.reason or "", error=str(error), **more)  # fmt: skip


@pytest.mark.parametrize(("name", "error"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
def test_a_failure_is_known_by_its_code(name: str, error: UserError) -> None:
    assert runbook_of(failed(error)).name == name, str(error)


@pytest.mark.parametrize(("name", "error"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
def test_a_sentence_decides_nothing(name: str, error: UserError) -> None:
    facts = replace(failed(error), error="It went wrong: no space left, denied, 429, x509.")
    assert runbook_of(facts).name == name


def test_every_class_was_met() -> None:
    assert {name for name, _ in CASES} | {"unseen", "went-down", "schema-change"} == {
        book.name for book in RUNBOOKS
    }


def test_a_server_that_went_down_later() -> None:
    facts = Facts(slug="notes", number=4, status="succeeded", error_kind="runtime", error="It exited.")
    assert runbook_of(facts).name == "went-down"


def test_what_the_schema_gate_holds() -> None:
    facts = Facts(slug="notes", number=4, status="held", breaking=("add is gone.",), serving=3)
    assert runbook_of(facts).name == "schema-change"
    assert told(facts) == "add is gone. #3 serves meanwhile."


def test_names_are_unique_and_remedies_exist() -> None:
    assert len({book.name for book in RUNBOOKS}) == len(RUNBOOKS)
    for book in RUNBOOKS:
        assert set(book.remedies) <= set(REMEDIES), book.name
    assert {name for book in RUNBOOKS for name in book.remedies} == set(REMEDIES)


def test_an_address_is_no_diagnosis() -> None:
    about = "The push to registry.example.org/denied-429/quota:507 (linux/arm64) failed: HTTP 503"
    assert runbook_of(failed(UserError(about, kind="remote", reason=Reason.UNAVAILABLE))).name == "network"


def told(facts: Facts) -> str:
    return " ".join(runbook_of(facts).told(facts))


def test_expired_credentials_tell_whose_and_since_when() -> None:
    facts = failed(
        of_push(from_engine("unauthorized: authentication required")),
        registry="registry.example.org/team/notes",
        platforms=("linux/amd64", "linux/arm64"),
        steps=(
            StepFacts(1, "push", "linux/amd64", "succeeded"),
            StepFacts(2, "push", "linux/arm64", "failed"),
        ),
        events=(
            Event("auth_health_reported", "", {"source": "config.json", "seconds": -720}),
            Event("auth_refresh_failed", "linux/arm64", {"error": "exit code 3"}),
        ),
        has_refresh_command=True,
    )
    assert told(facts) == (
        "The credential for registry.example.org/team/notes came from config.json. "
        "It had ended 12 min before when this deployment looked at it. "
        "A refresh was tried and failed: exit code 3 linux/amd64 had arrived before."
    )
    assert "REGISTRY_REFRESH_COMMAND is not set" in told(failed(CASES[0][1]))


def test_a_broken_way_tells_attempts_and_waits() -> None:
    facts = failed(
        http(503),
        registry="registry.example.org/team/notes",
        steps=(StepFacts(2, "push", "linux/arm64", "failed"),),
        events=(
            Event("push_retry", "linux/arm64", {"attempt": 1, "delay_ms": 4000}),
            Event("push_retry", "linux/arm64", {"attempt": 2, "delay_ms": 8000}),
            Event("push_failed", "linux/arm64", {"attempt": 3, "error": "HTTP 503"}),
        ),
    )
    assert told(facts) == (
        "The push of linux/arm64 to registry.example.org/team/notes was tried 3 times of 3. "
        "It waited 12 s between the attempts."
    )
