"""Every rule by which secrets are told, and every word that is none."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus

import pytest

from redaction.redactor import Redactor
from redaction.rules import (
    in_json,
    is_secret_name,
    is_secret_value,
    without_possible_secrets,
    without_secrets,
)

HIDDEN = "hunter2hunter2"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
FORMS = [
    JWT,
    JWT.rpartition(".")[0],
    PEM,
    "sk-proj-abcdefghijklmnop1234",
    "rk_live_0123456789abcdef",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "glpat-abcdefghij0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-0123456789abcdefghijklmnopqrstu",
    "xoxb-123456789012-abcdefgh",
    "npm_0123456789abcdefghijklmnopqrstuvwxyz",
    "pypi-AgEIcHlwaS5vcmcCJDAwMDAwMDAwLTAwMDA",
    "hf_abcdefghij0123456789",
    "gsk_abcdefghij0123456789",
    "xapp-1-A0123456789-abcdef",
    "ya29.a0AfH6SMBabcdefghij",
    "SG.abcdefghij0123456789.x",
    "figd_abcdefghij0123456789",
    "ntn_abcdefghij0123456789",
    "lin_api_abcdefghij0123456789",
    "tvly-abcdefghij0123456789",
    "pplx-abcdefghij0123456789",
    "dop_v1_abcdefghij0123456789",
    "AGE-SECRET-KEY-1ABCDEFGHIJ0123456789",
]


@pytest.mark.parametrize("secret", FORMS)
@pytest.mark.parametrize("around", ["before {} after", '"{}"', "x={}&y=1", "({})", "a-{}"])
def test_by_its_form(secret: str, around: str) -> None:
    if around != "a-{}" or secret == JWT:
        assert without_secrets(around.format(secret)) == around.format("***")
    assert secret not in without_possible_secrets(around.format(secret))


@pytest.mark.parametrize("secret", [*FORMS, "xoxo-123456789012", f"secret_{'a1' * 10}", f"mcph_{HIDDEN * 2}"])
def test_a_value_that_stands_alone(secret: str) -> None:
    assert is_secret_value(secret)


@pytest.mark.parametrize("word", ["npm_config_registry", "sk-learn", "hf_hub_offline", "tokens", "eyJhb", ""])
def test_a_value_that_is_a_word(word: str) -> None:
    assert not is_secret_value(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Users in URLs
        ("Get https://ci:hunter2@r.example/v2/: EOF", "Get https://***@r.example/v2/: EOF"),
        ("https://:hunter2@r.example/", "https://***@r.example/"),
        ("https://hunter2@r.example/x and https://r.example/y", "https://***@r.example/x and https://r.example/y"),
        ("git+https://hunter2@r.example/x", "git+https://***@r.example/x"),
        ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
        ("postgres://me:hunter2@db/x,postgres://me:hunter2@db2/x", "postgres://***@db/x,postgres://***@db2/x"),
        # Tokens of ours
        (f"mcph_{HIDDEN * 2}", "mcph_***"),
        # Headers
        ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer ***"),
        ('{"Authorization": "token hunter2"}', '{"Authorization": "token ***"}'),
        (r"{\"authorization\": \"Bearer hunter2hunter2\"}", r"{\"authorization\": \"Bearer ***\"}"),
        ("sent Basic aHVudGVyMg==", "sent Basic ***"),
        ("bearer hunter2hunter2", "bearer ***"),
        # Names and values
        ('{"password": "hunter2hunter2"}', '{"password": "***"}'),
        (r"{\"password\": \"hunter2hunter2\"}", r"{\"password\": \"***\"}"),
        ("{'client_secret': 'hunter2hunter2'}", "{'client_secret': '***'}"),
        ("refresh_token=hunter2hunter2&service=x", "refresh_token=***&service=x"),
        ("OPENAI_API_KEY=hunter2hunter2 LOG=info", "OPENAI_API_KEY=*** LOG=info"),
        ("export AWS_SECRET_ACCESS_KEY='hunter2hunter2'", "export AWS_SECRET_ACCESS_KEY='***'"),
        ("api-key: hunter2hunter2", "api-key: ***"),
        ("--password=hunter2hunter2", "--password=***"),
        ("secret==hunter2hunter2", "secret=***"),
        ("secret=hunterhunter(2)", "secret=***(2)"),
        ("TOKEN = hunter2hunter2", "TOKEN = ***"),
        ("https://s3.example/x?X-Amz-Signature=hunter2hunter2", "https://s3.example/x?X-Amz-Signature=***"),
        ("PUT https://r.example/x?_state=hunter2hunter2&d=1", "PUT https://r.example/x?_state=***&d=1"),
    ],
)  # fmt: skip
def test_in_what_a_program_writes(text: str, expected: str) -> None:
    assert without_secrets(text) == expected
    assert without_secrets(expected) == expected
    assert "hunter2" not in without_possible_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication failed",
        "the token has expired",
        "invalid_token: authorization failed",
        "SyntaxError: unexpected token: expected an identifier",
        "Collecting tokenizers==0.15.2",
        "token==1.0.0.post1",
        "max_tokens=4096 tokens: 12345678",
        "    token = tokenizer.encode(text)",
        '    secret = os.environ["SECRET_TOKEN"]',
        "KeyError: 'GITHUB_TOKEN'",
        'WWW-Authenticate: Bearer realm="https://r.example/token",service="r.example"',
        "run_state=restarting exit_state=terminated",
        "ssh://git@r.example/x and git@r.example:x/y",
        "https://r.example/@scope/name and https://r.example/x?mail=me@r.example",
        "docker-image://alpine@sha256:0123456789abcdef",
        "pk_servers_deployment_server_id violates sk-learn-contrib-extensions",
        "npm_package_config_something_or_other_long",
        "password: none",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "mcph_short",
    ],
)
def test_words_stay(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "db_passwd", "passphrase", "passcode", "pwd", "api_key", "apiKey",
        "X-Api-Key", "Authorization", "Set-Cookie", "client_secret", "accessToken", "private_key",
        "signing key", "encryption_key", "credentials", "signature", "otp", "pin", "session_id", "SESSION-ID",
    ],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["city", "key", "public_key", "spinning", "author", "passenger", "compass", "session"]
)
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"password": "hun\\"ter2", "city": "Bern"}', '{"password": ***, "city": "Bern"}'),
        (r'{\"password\": \"hun\", \"a\": 1}', r'{\"password\": ***, \"a\": 1}'),
        ("API_KEY=abc123 LOG=info", "API_KEY=*** LOG=info"),
        ("my_password_2: x", "my_password_2: ***"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: *** ***"),
        ("bearer abcdefghijkl", "bearer ***"),
        ("sk-abcdefghijklmnopqrst", "***"),
        ("the token of a ring", "the token of a ring"),
    ],
)  # fmt: skip
def test_in_what_people_hand_over(text: str, expected: str) -> None:
    assert without_possible_secrets(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"token": "a\\"b", "city": "Bern"}', '{"token": "***", "city": "Bern"}'),
        ('{"Client_Secret_2" : "abc', '{"Client_Secret_2" : "***"'),
        ('{"token_count": 5, "secret": {"a": "b"}}', '{"token_count": 5, "secret": {"a": "b"}}'),
    ],
)
def test_in_json(text: str, expected: str) -> None:
    assert in_json(text) == expected


def test_known_values_are_masked_line_by_line_and_the_longest_first() -> None:
    redact = Redactor(["hunter2", "hunter2-and-more", "short", "line one\nline two"])
    assert redact("hunter2-and-more, hunter2, short") == "***, ***, short"
    assert redact("line two\nline one") == "***\n***"


@pytest.mark.parametrize("value", ['pass"word\\1', "pass word/é+&", "über-geheim", "p%ss:w@rd"])
def test_known_values_are_masked_as_urls_and_json_write_them(value: str) -> None:
    redact = Redactor([value])
    for written in (
        value, quote(value), quote(value, safe=""), quote_plus(value),
        json.dumps({"a": value}), json.dumps({"a": value}, ensure_ascii=False),
    ):  # fmt: skip
        assert redact(written) in ("***", '{"a": "***"}')
        assert redact.strictly(written) in ("***", '{"a": "***"}')


def test_what_no_database_keeps_is_left_out() -> None:
    assert Redactor()("half \ud83d and \u0000none") == "half ? and none"


FILLINGS = [
    "a", "-", "password", '"', "eyJ", "eyJ-", "-eyJ", "token:", "token ", "token=", "authorization", "sk-",
    "npm_", "Bearer ", "Basic  ", "://", "://a", "://a:", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----",
    "_state=", "\\", " ", "api_key:", "mcph_", "secret'", "AKIA", "xoxb-", "pypi-pypi-", "authorization: ",
]  # fmt: skip


def took(filling: str, times: int) -> float:
    """All expressions have to look at it."""
    words = "private key eyJ npm_ authorization basic token mcph_ :// "
    text, redact = words + filling * times, Redactor(["hunter2"])
    began = time.process_time()
    redact(text)
    in_json(text)
    is_secret_name(text)
    return time.process_time() - began


@pytest.mark.slow
@pytest.mark.parametrize("filling", FILLINGS)
def test_time_goes_with_the_length(filling: str) -> None:
    """What grows with the square takes a minute here."""
    assert took(filling, 400_000 // len(filling)) < 5
