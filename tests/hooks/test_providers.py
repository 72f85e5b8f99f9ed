"""What each provider's deliveries mean, and which signatures open the door. No database."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hooks.providers import PROVIDERS, base
from hooks.push import Malformed, NotSigned, Push, Refused, Stale, Verified
from notices import signing
from tests.hooks import payloads
from tests.hooks.payloads import AFTER, BEFORE, NONE, as_body, commit

NOW = 1_700_000_000.0
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()


def headers_for(kind: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    if kind == "gitlab":
        return payloads.gitlab_headers(secret)
    if kind == "generic":
        return payloads.standard(secret, body, NOW)
    make = {"github": payloads.github_headers, "gitea": payloads.gitea_headers}[kind]
    return make(secret, body)


def taken(kind: str, payload: Any, secrets: tuple[str, ...] = (SECRET,)) -> Verified:
    body = as_body(payload)
    return PROVIDERS[kind].verified(headers_for(kind, body), body, secrets, NOW)


def push_of(kind: str, **changes: Any) -> Push:
    push = taken(kind, getattr(payloads, kind)(**changes)).push
    assert push is not None
    return push


KINDS = sorted(PROVIDERS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_told_alike_by_every_provider(kind: str) -> None:
    push = push_of(kind)
    assert (push.ref, push.commit, push.before) == ("refs/heads/main", AFTER, BEFORE)
    assert push.name == push.default_branch == "main"
    assert push.paths is not None
    assert any(path.startswith("src/") for path in push.paths)
    assert push.urls
    assert push.sender
    assert not push.deleted
    assert Push.of(push.kept()) == push


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_hooks_own_secrets_open(kind: str) -> None:
    payload = getattr(payloads, kind)()
    assert taken(kind, payload, (OTHER, SECRET)).push
    with pytest.raises(NotSigned):
        taken(kind, payload, (OTHER,))
    body = as_body(payload)
    stripped = {"content-type": "application/json", "x-github-event": "push", "webhook-id": "m"}
    for headers in (stripped, {}, {**headers_for(kind, body, OTHER), "x-gitlab-token": "é"}):
        with pytest.raises(NotSigned):
            PROVIDERS[kind].verified(headers, body, (SECRET,), NOW)


@pytest.mark.parametrize("kind", ["github", "gitea", "generic"])
def test_a_changed_body_is_not_signed(kind: str) -> None:
    body = as_body(getattr(payloads, kind)())
    with pytest.raises(NotSigned):
        PROVIDERS[kind].verified(headers_for(kind, body), body + b" ", (SECRET,), NOW)


def test_published_vectors() -> None:
    base.check_hex_hmac(
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        b"Hello, World!",
        ["It's a Secret to Everybody"],
    )
    key = signing.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signing.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("kind", ["generic", "gitlab"])
@pytest.mark.parametrize("age", [301, -301, 10_000_000])
def test_a_signature_ages(kind: str, age: int) -> None:
    body = as_body(getattr(payloads, kind)())
    headers = {"idempotency-key": "msg_1", **payloads.standard(SECRET, body, NOW - age)}
    with pytest.raises(Stale):
        PROVIDERS[kind].verified(headers, body, (SECRET,), NOW)
    fresh = {"idempotency-key": "msg_1", **payloads.standard(SECRET, body, NOW - 299)}
    assert PROVIDERS[kind].verified(fresh, body, (SECRET,), NOW).delivery_id == "msg_1"


def test_one_good_signature_among_several_is_enough() -> None:
    body = as_body(payloads.generic())
    good, bad = payloads.standard(SECRET, body, NOW), payloads.standard(OTHER, body, NOW)
    several = {**good, "webhook-signature": f"v1a,x {bad['webhook-signature']} {good['webhook-signature']}"}
    assert PROVIDERS["generic"].verified(several, body, (SECRET,), NOW).push


def test_gitlabs_signing_token_may_be_taken_as_it_stands() -> None:
    body = as_body(payloads.gitlab())
    signed = signing.signature(SECRET.encode(), "k1", int(NOW), body)
    headers = {
        "idempotency-key": "k1",
        "webhook-id": "k1",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": signed,
    }
    assert PROVIDERS["gitlab"].verified(headers, body, (SECRET,), NOW).push


def test_a_bad_signature_is_not_rescued_by_the_token() -> None:
    body = as_body(payloads.gitlab())
    headers = {**payloads.gitlab_headers(SECRET), **payloads.standard(OTHER, body, NOW)}
    with pytest.raises(NotSigned):
        PROVIDERS["gitlab"].verified(headers, body, (SECRET,), NOW)


def test_events_that_are_no_push() -> None:
    body = as_body({"zen": "Keep it logically awesome.", "hook_id": 1})
    ping = PROVIDERS["github"].verified(
        payloads.github_headers(SECRET, body, event="ping"), body, (SECRET,), NOW
    )
    assert (ping.event, ping.push) == ("ping", None)
    assert taken("gitlab", {"object_kind": "merge_request"}).push is None
    star = payloads.gitea_headers(SECRET, b"{}", event="issues")
    assert PROVIDERS["gitea"].verified(star, b"{}", (SECRET,), NOW).push is None


FORM_TYPES = [payloads.FORM, f"{payloads.FORM}; charset=utf-8", "Application/X-WWW-Form-Urlencoded"]


@pytest.mark.parametrize("content_type", FORM_TYPES)
def test_a_form_of_github_is_signed_as_it_travels(content_type: str) -> None:
    body = payloads.as_form(as_body(payloads.github()))
    headers = {**payloads.github_headers(SECRET, body), "content-type": content_type}
    found = PROVIDERS["github"].verified(headers, body, (SECRET,), NOW).push
    assert found is not None
    assert found.commit == AFTER


HEADERS_OF = {
    "gitea": payloads.gitea_headers,
    "forgejo": payloads.forgejo_headers,
    "gogs": payloads.gogs_headers,
}


@pytest.mark.parametrize("content_type", FORM_TYPES)
@pytest.mark.parametrize("forge", HEADERS_OF)
def test_a_form_of_gitea_and_kin_is_signed_as_the_json_in_it(forge: str, content_type: str) -> None:
    text = as_body(payloads.gitea(commits=[commit(modified=["src/übersicht & more+1.py"])]))
    headers = {**HEADERS_OF[forge](SECRET, text), "content-type": content_type}
    found = PROVIDERS["gitea"].verified(headers, payloads.as_form(text), (SECRET,), NOW)
    plain = PROVIDERS["gitea"].verified(HEADERS_OF[forge](SECRET, text), text, (SECRET,), NOW)
    assert found == plain
    assert found.push is not None
    assert found.push.paths == ("src/übersicht & more+1.py",)


def test_a_form_that_is_signed_whole_is_taken_too() -> None:
    body = payloads.as_form(as_body(payloads.gitea()))
    headers = {**payloads.gitea_headers(SECRET, body), "content-type": payloads.FORM}
    assert PROVIDERS["gitea"].verified(headers, body, (SECRET,), NOW).push


@pytest.mark.parametrize(
    "body",
    [
        b"payload=%7B%7D",
        b"payload=%7B%7D&payload={signed}",
        b"other={signed}",
        b"&".join([b"a=1"] * 10) + b"&payload={signed}",
        b"payload=",
        b"",
        b"%",
    ],
)
def test_what_is_read_of_a_form_is_what_was_signed(body: bytes) -> None:
    text = as_body(payloads.gitea())
    form = body.replace(b"{signed}", payloads.as_form(text).removeprefix(b"payload="))
    headers = {**payloads.gitea_headers(SECRET, text), "content-type": payloads.FORM}
    with pytest.raises(NotSigned):
        PROVIDERS["gitea"].verified(headers, form, (SECRET,), NOW)


def test_a_form_of_many_fields_is_refused_with_a_sentence() -> None:
    body = b"&".join([b"a=1"] * 50)
    headers = {**payloads.github_headers(SECRET, body), "content-type": payloads.FORM}
    with pytest.raises(Malformed):
        PROVIDERS["github"].verified(headers, body, (SECRET,), NOW)


def test_gogs_tells_of_a_tag_by_create_alone() -> None:
    made = {"ref": "v1.0", "ref_type": "tag", "sha": AFTER, "repository": payloads.gitea()["repository"]}
    body = as_body({**made, "sender": {"username": "ada"}})
    by_gogs = PROVIDERS["gitea"].verified(
        payloads.gogs_headers(SECRET, body, event="create"), body, (SECRET,), NOW
    )
    assert by_gogs.push is not None
    assert (by_gogs.push.name, by_gogs.push.commit, by_gogs.push.sender) == ("tags/v1.0", AFTER, "ada")
    by_gitea = payloads.gitea_headers(SECRET, body, event="create")
    assert PROVIDERS["gitea"].verified(by_gitea, body, (SECRET,), NOW).push is None


@pytest.mark.parametrize("forge", HEADERS_OF)
@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_a_ref_that_is_deleted_is_no_push(forge: str, kind: str) -> None:
    body = as_body({"ref": "old", "ref_type": kind, "pusher_type": "user"})
    headers = HEADERS_OF[forge](SECRET, body, event="delete")
    assert PROVIDERS["gitea"].verified(headers, body, (SECRET,), NOW).push is None


def test_the_test_delivery_of_an_empty_repository_deletes_nothing() -> None:
    assert taken("gitea", payloads.gitea(before=NONE, after=NONE, commits=[])).push is None


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_a_tag_that_is_deleted(kind: str) -> None:
    gone = {"ref": "refs/tags/v1", "after": NONE, "checkout_sha": None, "head_commit": None, "commits": []}
    push = push_of(kind, **gone, **({"object_kind": "tag_push"} if kind == "gitlab" else {}))
    assert (push.deleted, push.commit, push.name) == (True, "", "tags/v1")


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_a_branch_that_is_deleted(kind: str) -> None:
    gone = push_of(kind, after=NONE, checkout_sha=None, head_commit=None, commits=[])
    assert (gone.deleted, gone.commit) == (True, "")


def test_annotated_tags_name_the_commit() -> None:
    tag = "a" * 40
    assert push_of("github", ref="refs/tags/v1", after=tag).commit == AFTER
    assert push_of("gitlab", object_kind="tag_push", ref="refs/tags/v1", after=tag).commit == AFTER
    assert push_of("gitlab", ref="refs/tags/v1").name == "tags/v1"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("github", {"forced": True}),
        ("github", {"commits": [commit()] * 2048}),
        ("github", {"commits": []}),
        ("gitlab", {"total_commits_count": 21}),
        ("gitlab", {"total_commits_count": None}),
        ("gitea", {"total_commits": 2}),
        ("generic", {"paths": None}),
        ("generic", {"paths": ["x"] * 2001}),
        ("github", {"commits": [commit(added=[f"f{n}" for n in range(2001)])]}),
    ],
)
def test_where_not_all_paths_are_told_none_are_known(kind: str, changes: dict[str, Any]) -> None:
    assert push_of(kind, **changes).paths is None


def test_a_generic_hook_may_ask_for_the_newest_state() -> None:
    for body in (b"", b"{}"):
        found = PROVIDERS["generic"].verified(payloads.standard(SECRET, body, NOW), body, (SECRET,), NOW)
        assert found.push == Push()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff\xfe", b"null"])
def test_signed_nonsense_is_refused_with_a_sentence(kind: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        PROVIDERS[kind].verified(headers_for(kind, body), body, (SECRET,), NOW)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("github", {"ref": "refs/heads/a b"}),
        ("github", {"after": "HEAD"}),
        ("github", {"after": "--upload-pack=x"}),
        ("gitea", {"ref": None}),
        ("gitlab", {"after": []}),
        ("gitlab", {"ref": 1}),
        ("generic", {"commit": "main"}),
        ("generic", {"paths": "src"}),
    ],
)
def test_what_is_no_ref_or_commit_is_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        push_of(kind, **changes)


def test_odd_types_do_no_harm() -> None:
    odd = push_of(
        "github", repository="x", sender=[], pusher=None, commits=[1, {"added": "x"}], head_commit=7
    )
    assert (odd.repository, odd.sender, odd.urls, odd.paths) == ("", "", (), ())


def test_a_delivery_without_an_id_is_refused() -> None:
    body = as_body(payloads.github())
    for given in ("", "x" * 101, "a\x07b"):
        with pytest.raises(Refused):
            PROVIDERS["github"].verified(payloads.github_headers(SECRET, body, given), body, (SECRET,), NOW)
