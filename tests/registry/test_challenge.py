from __future__ import annotations

import pytest

from registry.challenge import Challenge, check_realm, merge_scopes, read_challenge
from registry.errors import RegistryError


def test_bearer() -> None:
    header = 'Bearer realm="https://auth.example/token",service="r.example",scope="repository:a:pull,push"'
    assert read_challenge(header) == Challenge(
        "bearer", "https://auth.example/token", "r.example", ("repository:a:pull,push",)
    )


@pytest.mark.parametrize(
    ("header", "scheme", "realm"),
    [
        ("Basic realm=plain", "basic", "plain"),
        ("basic", "basic", ""),
        (r'BASIC realm="say \"hi\", friend"', "basic", 'say "hi", friend'),
        ('Basic realm="a, Bearer b", Bearer realm="https://t"', "bearer", "https://t"),
        ('Bearer realm = "https://t" , error="invalid_token"', "bearer", "https://t"),
        ('Negotiate, Basic realm="x"', "basic", "x"),
        ("Bearer realm=https://t/token?a=b,service=r.example", "bearer", "https://t/token?a=b"),
        (
            'Basic realm="x", Bearer realm="https://t",service="r", Bearer realm="https://u"',
            "bearer",
            "https://t",
        ),
        ('Bearer error="invalid_token", Basic realm="x"', "basic", "x"),
        ('Bearer, Basic realm="x", Bearer realm="https://t"', "bearer", "https://t"),
        ('Bearer service="r"', "bearer", ""),
        ('NTLM abc==, Digest realm="d", nonce="n", Basic realm="x"', "basic", "x"),
    ],
)
def test_spellings(header: str, scheme: str, realm: str) -> None:
    challenge = read_challenge(header)
    assert challenge is not None
    assert (challenge.scheme, challenge.realm) == (scheme, realm)


@pytest.mark.parametrize("header", ["", "Negotiate", "=", ",,,", '"'])
def test_nothing_that_we_can_answer(header: str) -> None:
    assert read_challenge(header) is None


@pytest.mark.parametrize(
    ("realm", "host", "plain"),
    [
        ("https://auth.example/token", "r.example", False),
        ("https://auth.example/token", "127.0.0.1:5000", True),
        ("http://127.0.0.1:5001/token", "127.0.0.1:5000", True),
        ("http://localhost:5001/token", "127.0.0.1:5000", True),
        ("http://r.example:5001/token", "r.example:5000", True),
    ],
)
def test_token_servers_that_may_know(realm: str, host: str, plain: bool) -> None:
    check_realm(realm, host, plain=plain)


@pytest.mark.parametrize(
    ("realm", "host", "plain"),
    [
        ("http://auth.example/token", "r.example", False),
        ("http://auth.example/token", "r.example", True),
        ("http://r.example/token", "r.example", False),
        ("http://127.0.0.1:8080/token", "r.example", True),
        ("http://auth.example/token", "127.0.0.1:5000", True),
        ("http://127.0.0.1.evil.example/token", "127.0.0.1:5000", True),
        ("https://user:password@auth.example/token", "r.example", False),
        ("file:///etc/passwd", "r.example", True),
        ("", "r.example", True),
        ("https:///token", "r.example", False),
        ("https://[::1/token", "r.example", False),
    ],
)
def test_token_servers_that_may_not(realm: str, host: str, plain: bool) -> None:
    with pytest.raises(RegistryError, match="no credential was sent"):
        check_realm(realm, host, plain=plain)


def test_scopes_merge_by_resource_with_push_first() -> None:
    assert merge_scopes(("repository:a:pull",), ("repository:a:push,pull", "repository:b:pull")) == (
        "repository:a:push,pull",
        "repository:b:pull",
    )
