"""What a watch keeps of the API server's objects, by a stand-in that forgets, breaks off and comes back."""

from __future__ import annotations

from typing import Any

import pytest

from hosting.errors import RuntimeFault
from hosting.runtimes import kube_mirror
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_mirror import Mirror
from tests.eventually import eventually
from tests.kubernetes.test_client import Answer, ApiServer, cluster, server

__all__ = ["cluster", "server"]
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


def pod(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def listed(version: str, *names: str) -> Answer:
    items = [pod(name, version) for name in names]
    return 200, {}, {"items": items, "metadata": {"resourceVersion": version}}


def event(kind: str, name: str, version: str) -> Answer:
    return 200, {}, {"type": kind, "object": pod(name, version)}


@pytest.fixture
def mirror(cluster: Cluster) -> Mirror[str]:
    """As the runtime makes it: with little patience."""
    impatient = Cluster(cluster.namespace, patience=0.2)
    return Mirror(impatient, "v1", "Pod", "ours", lambda found: str(found["metadata"]["resourceVersion"]))


def versions_asked(server: ApiServer) -> list[str]:
    return [
        path.partition("resourceVersion=")[2].partition("&")[0]
        for _, path, _ in server.asked
        if "watch" in path
    ]


def test_it_lists_once_and_follows(server: ApiServer, mirror: Mirror[str]) -> None:
    server.answers = [
        listed("5", "a", "b"),
        event("ADDED", "c", "6"),
        event("DELETED", "a", "7"),
        event("BOOKMARK", "", "9"),
        event("MODIFIED", "b", "10"),
    ]
    eventually(lambda: mirror.objects() == {"b": "10", "c": "6"}, what="all has been seen")
    eventually(lambda: len(versions_asked(server)) > 4, what="it watches on")
    assert versions_asked(server)[:5] == ["5", "6", "7", "9", "10"]


def test_what_the_api_server_forgot_is_listed_anew(server: ApiServer, mirror: Mirror[str]) -> None:
    server.answers = [listed("5", "a"), (200, {}, GONE), listed("90", "z")]
    eventually(lambda: mirror.objects() == {"z": "90"}, what="it was listed anew")


def test_what_was_seen_holds_while_the_api_server_is_away_and_not_for_ever(
    server: ApiServer, mirror: Mirror[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [listed("5", "a")]
    assert mirror.objects() == {"a": "5"}
    monkeypatch.setattr(kube_mirror, "TOLERATED_SECONDS", 0.0)

    def refused() -> bool:
        try:
            mirror.objects()
        except RuntimeFault:
            return True
        return False

    eventually(refused, what="it says that it does not know any more")
    monkeypatch.setattr(kube_mirror, "TOLERATED_SECONDS", 60.0)
    assert mirror.objects() == {"a": "5"}
    assert mirror.peek() is None  # not without a doubt


def test_a_first_look_that_fails_is_told(server: ApiServer, mirror: Mirror[str]) -> None:
    server.answers = [server.status(403, "pods is forbidden")] * 3
    with pytest.raises(RuntimeFault, match="rights of deploy"):
        mirror.objects()


def test_what_was_seen_holds_while_it_is_listed_anew(server: ApiServer, mirror: Mirror[str]) -> None:
    """A list of thousands takes seconds: meanwhile no server is in doubt."""
    server.answers = [listed("5", "a"), (200, {}, GONE)]
    mirror.objects()
    eventually(lambda: len([path for _, path, _ in server.asked if "watch" not in path]) > 1, what="a list")
    assert mirror.objects() == {"a": "5"}
    server.answers = [listed("90", "z")]
    eventually(lambda: mirror.objects() == {"z": "90"}, what="it was listed anew")


def test_what_differs_from_before_is_told(server: ApiServer, cluster: Cluster) -> None:
    told: list[tuple[str, int]] = []
    impatient = Cluster(cluster.namespace, patience=0.2)
    mirror = Mirror(impatient, "v1", "Pod", "ours", digits, lambda name, kept: told.append((name, kept)))
    server.answers = [
        listed("5", "a", "b"),
        event("MODIFIED", "b", "6"),
        event("MODIFIED", "b", "10"),
        event("ADDED", "c", "11"),
        event("DELETED", "a", "12"),
        event("DELETED", "unknown", "13"),
        (200, {}, GONE),
        listed("90", "b", "d"),
    ]
    eventually(lambda: mirror.objects() == {"b": 2, "d": 2} and len(told) == 5, what=f"all is told: {told}")
    assert told[:3] == [("b", 2), ("c", 2), ("a", 1)]
    assert set(told[3:]) == {("c", 2), ("d", 2)}


def digits(found: dict[str, Any]) -> int:
    """Something that some changes of an object do not change."""
    return len(found["metadata"]["resourceVersion"])
