"""Answers a registry's challenges, with Basic or with tokens of its token server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from registry.challenge import Challenge, check_realm, read_challenges
from registry.credentials import Credential
from registry.errors import from_response
from registry.tokens import Answer, TokenCache
from registry.transport import Transport

MAX_TOKEN_ANSWER = 1 << 20
BEARER, BASIC = "bearer", "basic"


class Authorization:
    """Remembers which authorization one registry asks for. It is thread-safe."""

    def __init__(self, host: str, transport: Transport) -> None:
        self.challenge: Challenge | None = None
        self._host = host
        self._transport = transport
        self._tokens = TokenCache()

    def learn(self, answer: Answer) -> None:
        """Remembers the challenge in a refusal of a request that had no authorization."""
        if answer.status == 401:
            self.challenge = next(iter(_challenges(answer)), self.challenge)

    def settle(self, answered: Challenge | None, refusal: Answer) -> None:
        """Remembers the challenge that was `answered` with success; without one, the last that the registry
        sent.

        A Basic challenge does not replace a known Bearer then: see `to_answer`.
        """
        asked = next(iter(_challenges(refusal)), None)
        known_bearer = self.challenge is not None and self.challenge.scheme == BEARER
        if answered is None and not (known_bearer and asked is not None and asked.scheme == BASIC):
            answered = asked
        self.challenge = answered or self.challenge

    def to_answer(self, refusal: Answer, used: str) -> Iterator[Challenge]:
        """Yields the challenges to answer, in turn, after a refusal. `used` is the Authorization header that
        was sent.

        Some registries (Harbor) send a Basic challenge when a Bearer token has expired, even if they do not
        accept Basic. So the known token server is asked first. A refusal without a challenge means the known
        one, too.
        """
        known, asked = self.challenge, _challenges(refusal)[:1]
        went_bad = used.startswith("Bearer ") and known is not None and known.scheme == BEARER
        if known is not None and (not asked or (went_bad and asked[0].scheme == BASIC)):
            yield known
        yield from asked

    def header(
        self,
        challenge: Challenge | None,
        credential: Credential,
        scopes: tuple[str, ...],
        *,
        plain: bool,
        rejected: str = "",
        fresh: bool = False,
    ) -> str:
        """Returns the Authorization header for a request; "" if none is needed or none can be given.

        `rejected` is a header that must not be used again; `fresh` asks for a new token. Raises
        `RegistryError`.
        """
        if challenge is None:
            return ""
        if challenge.scheme == BASIC:
            return credential.basic
        if credential.registry_token:
            return f"Bearer {credential.registry_token}"
        check_realm(challenge.realm, self._host, plain=plain)
        token = self._tokens.get(
            challenge,
            credential,
            scopes,
            self._fetch,
            rejected=rejected.removeprefix("Bearer "),
            fresh=fresh,
        )
        return f"Bearer {token}"

    def _fetch(
        self,
        url: str,
        *,
        authorization: str = "",
        query: list[tuple[str, str]] | None = None,
        form: list[tuple[str, str]] | None = None,
    ) -> Answer:
        return self._transport.send(
            "GET" if form is None else "POST",
            url,
            doing=f"Asking the token server at {urlsplit(url).netloc}",
            authorization=authorization,
            params=query,
            body=form,
            same_origin_only=bool(
                authorization or form
            ),  # an anonymous token would hide that the login was left out
            cap=MAX_TOKEN_ANSWER,
        )


def is_rejected(answer: Answer, used: str) -> bool:
    """Tells whether the registry rejected the authorization `used`; some (ECR) answer 403 for an expired
    token.
    """
    if answer.status != 403 or not used.startswith("Bearer "):
        return answer.status == 401
    return from_response(answer.status, answer.headers, answer.body, "").auth_expired


def _challenges(answer: Answer) -> list[Challenge]:
    return read_challenges(answer.headers.get("WWW-Authenticate", ""))
