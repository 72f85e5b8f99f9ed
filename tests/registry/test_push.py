"""Pushes of a real engine to real registries, well and badly."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from deploy.bench.workspace import free_port
from registry.errors import RegistryError
from registry.push import PushPolicy
from tests.registry.conftest import FAST, MakeImage, MakePush, Push, write_config

pytestmark = pytest.mark.real

MANIFEST = {"method": "PUT", "path": "/manifests/"}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
COMMON = {"attempt": int, "retry_limit": int, "registry_endpoint": str, "platform": str}
TAG = {"registry_endpoint": str, "tag": str, "platform": str}
FAULT = {"error": str, "error_kind": str, "auth_expired": bool}
CONTRACT: dict[str, dict[str, type]] = {
    "tag_started": TAG,
    "tag_succeeded": {**TAG, "duration_ms": int},
    "push_started": COMMON,
    "push_succeeded": {**COMMON, "digest": str, "duration_ms": int},
    "push_retry": {**COMMON, **FAULT, "reason": str},
    "push_failed": {**COMMON, **FAULT, "duration_ms": int},
    "auth_refresh_started": COMMON,
    "auth_refresh_succeeded": {**COMMON, "duration_ms": int},
    "auth_refresh_failed": {**COMMON, "error": str, "duration_ms": int},
}
ORDER = re.compile(
    r"tag_started (push_failed|tag_succeeded push_started "
    r"((auth_refresh_started auth_refresh_succeeded )?push_retry )*"
    r"(auth_refresh_started auth_refresh_failed )?(push_succeeded|push_failed)) "
)


@pytest.fixture
def plain(registry_plain: Registry, make_push: MakePush) -> Push:
    return make_push(registry_plain.host)


@pytest.fixture
def faulty(fault_proxy: FaultProxy, make_push: MakePush) -> Iterator[Push]:
    """A pusher through the fault proxy; whatever happened, the contract's order and types held."""
    push = make_push(fault_proxy.host)
    yield push
    assert_contract(push)


def assert_contract(push: Push) -> None:
    assert ORDER.fullmatch("".join(f"{name} " for name in push.types())), push.types()
    for event in push.events:
        for key, kind in CONTRACT[event.type].items():
            assert type(event.details[key]) is kind, (event.type, key)


def test_a_push_tells_every_step(plain: Push, make_image: MakeImage) -> None:
    target = plain.ref()
    pushed = plain(make_image(), target=target)
    assert plain.types() == ["tag_started", "tag_succeeded", "push_started", "push_succeeded"]
    assert_contract(plain)
    assert plain.last()["digest"] == pushed.digest
    assert plain.last()["registry_endpoint"] == target.endpoint
    assert plain.lines == [
        f"Registry push attempt 1/3 for {target.endpoint} (linux/amd64)",
        f"Image pushed to registry with digest {pushed.digest}",
    ]
    assert plain.client.get_manifest(target).digest == pushed.digest
    assert plain.client.resolve(target)[2] == ("linux/amd64",)


def test_pushing_again_sends_no_layer(faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage) -> None:
    image, target = make_image(), faulty.ref()
    first = faulty(image, target=target)
    faulty.events.clear()
    fault_proxy.set([])
    assert faulty(image, target=target) == first
    assert not [method for method, _, _ in fault_proxy.log if method in {"POST", "PATCH"}]


def test_basic_credentials(registry_basic: Registry, make_push: MakePush, make_image: MakeImage) -> None:
    push = make_push(registry_basic.host, registry_basic.username, registry_basic.password)
    push(make_image())
    assert push.types()[-1] == "push_succeeded"


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_a_credential_that_stays_wrong_ends_with_both_errors(
    request: pytest.FixtureRequest, make_push: MakePush, make_image: MakeImage, kind: str
) -> None:
    registry: Registry = request.getfixturevalue(f"registry_{kind}")
    push = make_push(registry.host, "ci", "wrong-password")
    with pytest.raises(RegistryError) as raised:
        push(make_image())
    assert push.types()[3:] == ["auth_refresh_started", "auth_refresh_failed", "push_failed"]
    assert_contract(push)
    failed = push.last()
    assert (failed["error_kind"], failed["auth_expired"], failed["attempt"]) == ("auth_expired", True, 1)
    assert failed["error"] == str(raised.value)
    assert re.search(r"unauthorized|401 Unauthorized", failed["error"])
    assert "The same credential came back" in failed["error"]
    assert "wrong-password" not in str(push.events) + str(push.lines)


def test_no_credential_at_all(registry_basic: Registry, make_push: MakePush, make_image: MakeImage) -> None:
    push = make_push(registry_basic.host)
    with pytest.raises(RegistryError, match=r"No credentials for .* are configured"):
        push(make_image())
    assert push.last()["error_kind"] == "auth_expired"


class _Writes:
    """A refresher that puts the right password into the Docker config."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self._path, self._registry, self.runs = path, registry, 0

    def refresh(self, host: str) -> None:
        self.runs += 1
        write_config(self._path, host, self._registry.username, self._registry.password)


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_a_refreshed_credential_pushes_outside_the_retry_budget(
    request: pytest.FixtureRequest, tmp_path: Path, make_push: MakePush, make_image: MakeImage, kind: str
) -> None:
    registry: Registry = request.getfixturevalue(f"registry_{kind}")
    push = make_push(registry.host, "ci", "old", refresher=_Writes(tmp_path / "config.json", registry))
    push(make_image(), policy=PushPolicy(attempts=1, base_delay=0.01))
    assert push.types()[3:] == [
        "auth_refresh_started",
        "auth_refresh_succeeded",
        "push_retry",
        "push_succeeded",
    ]
    assert_contract(push)
    (retry,) = push.of("push_retry")
    assert (retry["reason"], retry["error_kind"], retry["auth_expired"]) == (
        "auth_refresh",
        "auth_expired",
        True,
    )
    assert "Registry credentials refreshed; retrying push" in push.lines


def test_a_token_that_goes_stale_in_the_middle(
    registry_token: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    """The engine gives up at once; the credential is good still, so a new push gets a new token."""
    proxy = FaultProxy(registry_token.host)
    proxy.set([{"method": "PATCH", "action": "delay_response", "seconds": 4}])
    registry_token.control({"expiry": 2, "jwt_skew": -60})
    push = make_push(proxy.host, registry_token.username, registry_token.password)
    heal_when(push, "auth_refresh_started", lambda: (proxy.clear(), registry_token.control({})))
    try:
        push(make_image())
    finally:
        proxy.close()
    assert push.types()[3:] == [
        "auth_refresh_started",
        "auth_refresh_succeeded",
        "push_retry",
        "push_succeeded",
    ]


def test_an_engine_that_hides_a_rejected_credential(
    registry_token: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    """Nothing moves any more, and the registry, asked by us, says why."""
    proxy = FaultProxy(registry_token.host)
    proxy.set([{**MANIFEST, "action": "hang", "seconds": 60, "times": 1}])
    push = make_push(proxy.host, registry_token.username, registry_token.password)
    try:
        with ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(push, make_image(), policy=PushPolicy(stall=5))
            wait_for(lambda: any(action == "hang" for _, _, action in list(proxy.log)))
            registry_token.control({"reject": True})
            with pytest.raises(RegistryError, match="token server refused: HTTP 401"):
                pushing.result(timeout=60)
    finally:
        proxy.close()
    assert push.types()[3:] == ["auth_refresh_started", "auth_refresh_failed", "push_failed"]


class _Counts:
    """A refresher with nothing to do: the password stays good."""

    def __init__(self) -> None:
        self.runs = 0

    def refresh(self, host: str) -> None:
        self.runs += 1


def test_twenty_pushes_through_one_token_server_that_expires_in_the_middle(
    registry_token: Registry, tmp_path: Path, make_push: MakePush, make_image: MakeImage
) -> None:
    proxy, refresher = FaultProxy(registry_token.host), _Counts()
    proxy.set([{"method": "PATCH", "action": "delay_response", "seconds": 4}])
    registry_token.control({"expiry": 2, "jwt_skew": -60})
    push = make_push(proxy.host, registry_token.username, registry_token.password, refresher=refresher)
    heal_when(push, "auth_refresh_started", lambda: (proxy.clear(), registry_token.control({})))
    images = [make_image() for _ in range(20)]
    try:
        with ThreadPoolExecutor(20) as pool:
            digests = {pushed.digest for pushed in pool.map(push, images)}
    finally:
        proxy.close()
    assert len(digests) == 20
    assert push.types().count("push_succeeded") == 20
    assert not push.of("push_failed")
    assert push.of("auth_refresh_started")
    assert refresher.runs == 1, "one refresh for the one expiry"


def wait_for(happened: Callable[[], bool]) -> None:
    """Waits for what nobody announces, for as long as the test may take."""
    pause = threading.Event()
    while not happened():
        pause.wait(0.05)


def heal_when(push: Push, event_type: str, heal: Callable[[], object]) -> None:
    """Calls `heal` when the event is reported, before the push goes on."""
    report = push.report

    def healing(event: Any) -> None:
        report(event)
        if event.type == event_type:
            heal()

    push.report = healing  # type: ignore[method-assign]


def test_a_revoked_credential_is_not_retried_for_ever(
    registry_token: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_token.host, registry_token.username, registry_token.password)
    registry_token.control({"reject": True})
    with pytest.raises(RegistryError):
        push(make_image())
    assert push.types()[3:] == ["auth_refresh_started", "auth_refresh_failed", "push_failed"]
    assert push.last()["error_kind"] == "auth_expired"


def test_a_denied_push_is_remote_and_final(
    registry_token: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_token.host, registry_token.username, registry_token.password)
    registry_token.control({"deny": True})
    with pytest.raises(RegistryError, match="denied"):
        push(make_image())
    assert push.types()[3:] == ["push_failed"]
    assert (push.last()["error_kind"], push.last()["auth_expired"]) == ("remote", False)


def test_many_pushes_share_one_refresh(
    registry_basic: Registry, tmp_path: Path, make_push: MakePush, make_image: MakeImage
) -> None:
    writes = _Writes(tmp_path / "config.json", registry_basic)
    push = make_push(registry_basic.host, "ci", "old", refresher=writes)
    images = [make_image() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        digests = {pushed.digest for pushed in pool.map(push, images)}
    assert len(digests) == 8
    assert writes.runs == 1
    assert push.types().count("push_succeeded") == 8


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({**MANIFEST, "action": "reset", "after": 1}, "push"),
        ({**MANIFEST, "action": "close", "after": 1}, "push"),
        ({**MANIFEST, "action": "status", "status": 500}, "remote"),
        ({**MANIFEST, "action": "status", "status": 503, "body": "<html>"}, "remote"),
        (
            {
                **MANIFEST,
                "action": "status",
                "status": 429,
                "headers": {"Retry-After": "1"},
                "body": '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
            },
            "remote",
        ),
        ({"method": "HEAD", "path": "/manifests/", "action": "status", "status": 502}, "remote"),
        ({"method": "HEAD", "path": "/manifests/", "action": "reset"}, "push"),
        ({**MANIFEST, "action": "hang", "seconds": 30}, "push"),
    ],
)
def test_a_fault_that_passes_costs_an_attempt(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage, rule: dict[str, Any], kind: str
) -> None:
    fault_proxy.set([{**rule, "times": 1}])
    stall = 5 if rule["action"] == "hang" else 60  # an engine of a machine at work on much else is slow
    pushed = faulty(make_image(), policy=PushPolicy(base_delay=0.02, stall=stall))
    (retry,) = faulty.of("push_retry")
    assert (retry["reason"], retry["error_kind"], retry["attempt"]) == ("retryable_error", kind, 1)
    assert faulty.types()[-1] == "push_succeeded"
    assert faulty.last()["attempt"] == 2
    assert DIGEST.fullmatch(pushed.digest)


@pytest.mark.parametrize("method", ["HEAD", "PUT|HEAD"])
def test_the_registry_says_how_long_to_wait(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage, method: str
) -> None:
    """The engine keeps Retry-After to itself: the registry is asked then."""
    busy = {"action": "status", "status": 429, "headers": {"Retry-After": "1"}, "body": "slow down"}
    fault_proxy.set([{"method": method, "path": "/manifests/", "times": 2, **busy}])
    faulty(make_image())
    assert faulty.of("push_retry")[0]["delay_ms"] == 1000


def test_no_wait_that_the_deadline_does_not_allow(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    busy = {"action": "status", "status": 503, "headers": {"Retry-After": "120"}}
    fault_proxy.set([{"method": "HEAD", "path": "/manifests/", **busy}])
    with pytest.raises(RegistryError, match="503"):
        faulty(make_image(), policy=PushPolicy(deadline=60))
    assert faulty.types()[3:] == ["push_failed"]


def test_a_fault_that_stays_uses_up_the_attempts(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    fault_proxy.set([{**MANIFEST, "action": "status", "status": 500}])
    with pytest.raises(RegistryError, match="500 Internal Server Error"):
        faulty(make_image())
    assert faulty.types()[3:] == ["push_retry", "push_retry", "push_failed"]
    assert (faulty.last()["attempt"], faulty.last()["error_kind"]) == (3, "remote")


def test_a_fault_that_cannot_pass_is_not_retried(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    fault_proxy.set([{"method": "PATCH", "action": "status", "status": 413, "body": "too large"}])
    with pytest.raises(RegistryError):
        faulty(make_image())
    assert faulty.types()[3:] == ["push_failed"]
    assert (faulty.last()["attempt"], faulty.last()["error_kind"]) == (1, "remote")


def test_a_registry_that_is_down(make_push: MakePush, make_image: MakeImage) -> None:
    push = make_push(f"127.0.0.1:{free_port()}")
    with pytest.raises(RegistryError, match="connection refused"):
        push(make_image())
    assert push.types().count("push_retry") == 2
    assert push.last()["error_kind"] == "push"


def test_the_engines_own_retries_are_told(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    fault_proxy.set([{"method": "PATCH", "action": "reset", "after": 1024, "times": 1}])
    faulty(make_image())
    assert faulty.types()[-1] == "push_succeeded"
    assert [line for line in faulty.lines if re.search(r": Retrying in 5 seconds$", line)]


def test_the_deadline_holds_while_the_registry_hangs(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    fault_proxy.set([{**MANIFEST, "action": "hang", "seconds": 60}])
    with pytest.raises(RegistryError, match="took longer than 2 s"):
        faulty(make_image(), policy=PushPolicy(deadline=2))
    assert (faulty.last()["error_kind"], faulty.types()[-1]) == ("push", "push_failed")


class _Cancelled(Exception):
    kind = "cancelled"


class _Switch:
    def __init__(self) -> None:
        self.off = threading.Event()

    def check(self) -> None:
        if self.off.is_set():
            raise _Cancelled("Cancelled on request.")

    def remaining(self) -> float:
        return 3600.0


@pytest.mark.parametrize(
    "rule",
    [
        {**MANIFEST, "action": "hang", "seconds": 60},
        {"method": "HEAD", "path": "/manifests/", "action": "hang", "seconds": 60},
        {"method": "PATCH", "action": "hang", "seconds": 60},
        {"path": "^/v2/$", "action": "hang", "seconds": 60},
    ],
    ids=["manifest", "confirmation", "layer", "ping"],
)
def test_a_push_can_be_cancelled_at_any_moment(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage, rule: dict[str, Any]
) -> None:
    fault_proxy.set([rule])
    switch = _Switch()
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(faulty, make_image(), control=switch)
        wait_for(lambda: pushing.done() or any(action == "hang" for _, _, action in list(fault_proxy.log)))
        switch.off.set()
        with pytest.raises(_Cancelled):
            pushing.result(timeout=60)
    failed = faulty.last()
    assert (failed["error_kind"], failed["error"]) == ("cancelled", "Cancelled on request.")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("push ")]


class _Blocks:
    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()

    def refresh(self, host: str) -> None:
        self.entered.set()
        self.leave.wait(60)


def test_a_refresh_can_be_cancelled(
    registry_basic: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    blocks, switch = _Blocks(), _Switch()
    push = make_push(registry_basic.host, "ci", "old", refresher=blocks)
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(push, make_image(), control=switch)
        assert blocks.entered.wait(60)
        switch.off.set()
        with pytest.raises(_Cancelled):
            pushing.result(timeout=60)
    blocks.leave.set()
    assert push.types()[3:] == ["auth_refresh_started", "auth_refresh_failed", "push_failed"]
    assert push.last()["error_kind"] == "cancelled"


def test_an_image_that_is_not_there(plain: Push) -> None:
    with pytest.raises(RegistryError, match="No such image"):
        plain("mcphost.local/absent:1")
    assert plain.types() == ["tag_started", "push_failed"]
    assert (plain.last()["attempt"], plain.last()["error_kind"]) == (0, "tag")


def test_an_engine_that_is_down(plain: Push, tmp_path: Path) -> None:
    plain.engine_url = f"unix://{tmp_path}/docker.sock"
    with pytest.raises(RegistryError, match="The Docker Engine does not answer: No such file or directory"):
        plain("any")
    assert (plain.types(), plain.last()["error_kind"]) == (["tag_started", "push_failed"], "push")


def test_a_malformed_docker_config(
    registry_plain: Registry, tmp_path: Path, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_plain.host, "ci", "pw")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RegistryError, match=r"config\.json is not valid JSON"):
        push(make_image())
    assert_contract(push)


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_end_published_and_verified_or_failed_and_told(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage, seed: int
) -> None:
    dice = random.Random(seed)
    methods = ["PUT", "HEAD", "POST", "GET"]
    faults: list[dict[str, Any]] = [
        {"action": "reset"},
        {"action": "close"},
        {"action": "status", "status": 429},
        {"action": "status", "status": 503},
        {"action": "delay", "seconds": 0.3},
    ]
    fault_proxy.set(
        [
            {
                "method": dice.choice(methods),
                "path": "/manifests/|^/v2/$",
                "times": dice.randint(1, 4),
                **fault,
            }
            for fault in dice.sample(faults, 3)
        ]
    )
    target = faulty.ref()
    try:
        pushed = faulty(make_image(), target=target, policy=FAST)
    except RegistryError:
        assert faulty.types()[-1] == "push_failed"
        assert faulty.last()["error_kind"] in {"push", "remote"}
    else:
        fault_proxy.clear()
        assert faulty.client.get_manifest(target).digest == pushed.digest
