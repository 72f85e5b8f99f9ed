"""Access tokens of an authorization server that really answers, with keys that really sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import orjson
import pytest
from django.contrib.auth.models import User

from access.models import Membership, Role, Team
from gateway import oauth_keys
from gateway.options import Options, Trust
from servers.models import Server

from .conftest import Running, Upstream, bearer, call, host, in_database, running_gateway, serving, token
from .issuer import MAKERS, Issuer, Key

pytestmark = pytest.mark.core


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    async with serving(made) as url:
        made.url = url
        yield made


@pytest.fixture
def trust(issuer: Issuer) -> dict[str, Any]:
    return {"issuer": issuer.url}


@pytest.fixture
async def gateway(trust: dict[str, Any], transactional_db: None) -> AsyncIterator[Running]:
    async with running_gateway(Options(fresh=0.2, trust=Trust(**trust))) as running:
        yield running


@pytest.fixture
async def clock(gateway: Running, upstream: Upstream, owner: User) -> str:
    """The URL of a server of the owner's."""
    await in_database(lambda: host(owner, "clock", upstream.url))
    return gateway.mcp("clock")


async def ask(gateway: Running, url: str, value: str) -> tuple[int, dict[str, Any], str]:
    async with gateway.client.post(url, json=call(), headers=bearer(value)) as response:
        return response.status, await response.json(), response.headers.get("www-authenticate", "")


@pytest.mark.parametrize("alg", MAKERS)
async def test_a_token_opens_what_its_user_may_see(
    gateway: Running, clock: str, issuer: Issuer, upstream: Upstream, alg: str
) -> None:
    issuer.keys = [Key("ES256"), Key(alg)]
    status, body, _ = await ask(gateway, clock, issuer.token("owner", clock, key=issuer.keys[1]))
    assert (status, body["result"]) == (200, {})
    assert upstream.seen[0].header("authorization") is None
    (details,) = await gateway.calls()
    assert details["token"] == "oauth:owner"


async def test_a_client_finds_its_way_by_metadata_alone(gateway: Running, clock: str, issuer: Issuer) -> None:
    async with gateway.client.post(clock, json=call()) as response:
        challenge = response.headers["www-authenticate"]
    where = challenge.partition('resource_metadata="')[2].rstrip('"')
    async with gateway.client.get(where) as response:
        about = await response.json()
    (server,) = about["authorization_servers"]
    async with gateway.client.get(f"{server}/.well-known/oauth-authorization-server") as response:
        endpoint = (await response.json())["token_endpoint"]
    form = {"grant_type": "client_credentials", "client_id": "owner", "resource": about["resource"]}
    async with gateway.client.post(endpoint, data=form) as response:
        value = (await response.json())["access_token"]
    assert (await ask(gateway, clock, value))[0] == 200


async def test_our_own_tokens_still_open(gateway: Running, clock: str, owner: User) -> None:
    value = await in_database(lambda: token(owner))
    assert (await ask(gateway, clock, value))[0] == 200


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp, iss or aud"),
        ({"nbf": 2**40}, "not valid yet"),
        ({"aud": "http://127.0.0.1/mcp/other"}, "another audience"),
        ({"aud": None}, "exp, iss or aud"),
        ({"iss": "https://other.example"}, "not trusted"),
    ],
)
async def test_what_does_not_hold_is_refused_with_its_reason(
    gateway: Running, clock: str, issuer: Issuer, upstream: Upstream, claims: dict[str, Any], said: str
) -> None:
    status, body, challenge = await ask(gateway, clock, issuer.token("owner", clock, **claims))
    assert status == 401
    assert said in body["error"]["message"]
    assert 'error="invalid_token"' in challenge
    assert "resource_metadata=" in challenge
    assert upstream.seen == []


async def test_clocks_may_differ_a_little(gateway: Running, clock: str, issuer: Issuer) -> None:
    late = issuer.token("owner", clock, exp=int(time.time()) - 5)
    assert (await ask(gateway, clock, late))[0] == 200


def unsigned(claims: bytes, header: dict[str, str], key: bytes = b"") -> str:
    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(orjson.dumps(header)) + b"." + part(claims)
    signature = hmac.new(key, signed, hashlib.sha256).digest() if key else b""
    return (signed + b"." + part(signature)).decode()


async def test_forged_tokens_are_refused(gateway: Running, clock: str, issuer: Issuer) -> None:
    (key,) = issuer.keys = [Key("RS256")]
    true = issuer.token("owner", clock)
    claims = orjson.dumps(jwt.decode(true, options={"verify_signature": False}))
    public = orjson.dumps(key.public())
    head, body, signature = true.split(".")
    forged = [
        unsigned(claims, {"alg": "none"}),
        unsigned(claims, {"alg": "HS256", "kid": key.kid}, public),  # the public key as a shared secret
        issuer.token("owner", clock, key=Key("RS256", kid=key.kid)),
        issuer.token("owner", clock, key=Key("ES256", kid=key.kid)),
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}.{body}.",
        "a.b.c",
        "x" * 20_000,
    ]
    for value in forged:
        status, _, challenge = await ask(gateway, clock, value)
        assert (status, 'error="invalid_token"' in challenge) == (401, True), value[:60]
    assert (await ask(gateway, clock, true))[0] == 200


@pytest.mark.parametrize("user", ["nobody", "Owner", "gone", ""])
async def test_a_user_whom_the_platform_does_not_know_is_forbidden(
    gateway: Running, clock: str, issuer: Issuer, user: str
) -> None:
    await in_database(lambda: User.objects.create(username="gone", is_active=False))
    status, body, _ = await ask(gateway, clock, issuer.token(user, clock))
    assert status == 403
    assert "no active user" in body["error"]["message"]


async def test_a_user_sees_only_what_is_visible_to_them(
    gateway: Running, clock: str, issuer: Issuer, outsider: User
) -> None:
    def make() -> None:
        User.objects.create(username="staff", is_superuser=True)
        team = Team.objects.create(name="Clocks")
        Membership.objects.create(team=team, user=User.objects.create(username="viewer"), role=Role.VIEWER)
        Server.objects.update(team=team)

    await in_database(make)
    assert (await ask(gateway, clock, issuer.token("outsider", clock)))[0] == 404
    for name in ("staff", "viewer"):
        assert (await ask(gateway, clock, issuer.token(name, clock)))[0] == 200


class TestScopes:
    @pytest.fixture
    def trust(self, issuer: Issuer) -> dict[str, Any]:
        return {"issuer": issuer.url, "scopes": ("mcp", "tools"), "user_claim": "login"}

    @pytest.mark.parametrize("scope", [{"scope": "tools mcp other"}, {"scp": ["mcp", "tools"]}])
    async def test_enough(self, gateway: Running, clock: str, issuer: Issuer, scope: dict[str, Any]) -> None:
        value = issuer.token("id-7", clock, login="owner", **scope)
        assert (await ask(gateway, clock, value))[0] == 200

    async def test_too_few(self, gateway: Running, clock: str, issuer: Issuer) -> None:
        value = issuer.token("id-7", clock, login="owner", scope="mcp")
        status, _, challenge = await ask(gateway, clock, value)
        assert status == 403
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="mcp tools"' in challenge
        assert (await ask(gateway, clock, ""))[2].startswith('Bearer scope="mcp tools"')

    async def test_metadata_names_them(self, gateway: Running, clock: str, issuer: Issuer) -> None:
        where = clock.replace("/mcp/", "/.well-known/oauth-protected-resource/mcp/")
        async with gateway.client.get(where) as response:
            about = await response.json()
        assert about["scopes_supported"] == ["mcp", "tools"]
        assert about["bearer_methods_supported"] == ["header"]
        assert about["authorization_servers"] == [issuer.url]


class TestOneAudience:
    @pytest.fixture
    def trust(self, issuer: Issuer) -> dict[str, Any]:
        return {"issuer": issuer.url, "audiences": ("https://mcp.example",)}

    async def test_it_replaces_the_servers_url(self, gateway: Running, clock: str, issuer: Issuer) -> None:
        given = issuer.token("owner", "https://mcp.example")
        assert (await ask(gateway, clock, given))[0] == 200
        assert (await ask(gateway, clock, issuer.token("owner", clock)))[0] == 401


async def test_keys_are_asked_for_once_and_again_when_they_change(
    gateway: Running, clock: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = issuer.keys[0], Key("EdDSA")
    for _ in range(3):
        assert (await ask(gateway, clock, issuer.token("owner", clock)))[0] == 200
    assert issuer.asked.count("/keys") == 1
    issuer.keys = [second]
    rotated = issuer.token("owner", clock)
    assert (await ask(gateway, clock, rotated))[0] == 401  # asked a moment ago: not again for every token
    assert issuer.asked.count("/keys") == 1
    monkeypatch.setattr(oauth_keys, "AGAIN", 0)
    assert (await ask(gateway, clock, rotated))[0] == 200
    withdrawn = issuer.token("owner", clock, key=first)
    assert (await ask(gateway, clock, withdrawn))[0] == 401


async def test_an_issuer_that_is_away(
    gateway: Running, clock: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth_keys, "AGAIN", 0)
    issuer.down = True
    value = issuer.token("owner", clock)
    async with gateway.client.post(clock, json=call(), headers=bearer(value)) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "10")
    issuer.down = False
    assert (await ask(gateway, clock, value))[0] == 200
    issuer.down = True
    monkeypatch.setattr(oauth_keys, "RENEW", 0)
    assert (await ask(gateway, clock, issuer.token("owner", clock)))[0] == 200  # by the keys that are known


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration/tenant", "/tenant/.well-known/openid-configuration"]
)
async def test_metadata_of_openid_connect_will_do(issuer: Issuer, path: str) -> None:
    issuer.path, issuer.claims_issuer = path, f"{issuer.url}/tenant"
    keys = await oauth_keys.fetch(Trust(f"{issuer.url}/tenant"))
    assert [key["kid"] for key in keys] == [issuer.keys[0].kid]


async def test_metadata_that_speaks_for_another_is_not_believed(issuer: Issuer) -> None:
    issuer.claims_issuer = "https://other.example"
    with pytest.raises(oauth_keys.NoKeys, match="another issuer"):
        await oauth_keys.fetch(Trust(issuer.url))
    assert await oauth_keys.fetch(Trust(issuer.url, jwks_url=f"{issuer.url}/keys"))


async def test_keys_of_an_https_issuer_are_not_taken_from_plain_http() -> None:
    with pytest.raises(oauth_keys.NoKeys, match="https"):
        oauth_keys._safe("http://keys.example/jwks", "https://issuer.example")


async def test_without_an_issuer_nothing_but_our_tokens_opens(
    transactional_db: None, issuer: Issuer, upstream: Upstream, owner: User
) -> None:
    await in_database(lambda: host(owner, "clock", upstream.url))
    async with running_gateway(Options()) as running:
        url = running.mcp("clock")
        assert (await ask(running, url, issuer.token("owner", url)))[0] == 401
        where = url.replace("/mcp/", "/.well-known/oauth-protected-resource/mcp/")
        async with running.client.get(where) as response:
            assert "authorization_servers" not in await response.json()
    assert issuer.asked == []


async def test_sessions_stay_with_the_user_when_tokens_are_renewed(
    gateway: Running, clock: str, issuer: Issuer, upstream: Upstream
) -> None:
    async def opens(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"mcp-session-id", b"s-1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})

    await in_database(lambda: User.objects.create(username="staff", is_superuser=True))
    upstream.behave = opens
    first = bearer(issuer.token("owner", clock, jti="1"))
    async with gateway.client.post(clock, json=call(), headers=first) as response:
        session = response.headers["mcp-session-id"]

    async def status(value: str) -> int:
        headers = bearer(value, **{"mcp-session-id": session})
        async with gateway.client.post(clock, json=call(), headers=headers) as response:
            return response.status

    assert await status(issuer.token("owner", clock, jti="2")) == 200
    assert await status(issuer.token("staff", clock)) == 404
