"""What a registry is told of who asks: by its challenges, and with tokens of its token server."""

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
    """Remembers what one registry asks for. Thread-safe."""

    def __init__(self, host: str, transport: Transport) -> None:
        self.challenge: Challenge | None = None
        self._host = host
        self._transport = transport
        self._tokens = TokenCache()

    def learn(self, answer: Answer) -> None:
        """From a refusal of a request that said nothing of who asks."""
        if answer.status == 401:
            self.challenge = next(iter(_challenges(answer)), self.challenge)

    def settle(self, answered: Challenge | None, refusal: Answer) -> None:
        """What is asked for from now on: the challenge that was answered well. Where none was, the registry's
        last word, but no Basic in place of a Bearer: see `to_answer`."""
        asked = next(iter(_challenges(refusal)), None)
        known_bearer = self.challenge is not None and self.challenge.scheme == BEARER
        if answered is None and not (known_bearer and asked is not None and asked.scheme == BASIC):
            answered = asked
        self.challenge = answered or self.challenge

    def to_answer(self, refusal: Answer, used: str) -> Iterator[Challenge]:
        """What to try in turn after a refusal of `used`, an Authorization header or "".

        Some registries (Harbor) ask for Basic when a Bearer is no longer good, whether or not they take it:
        the token server that they named before is asked anew first. One that names nothing means as before.
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
        """The Authorization header for a request, "" where none is asked for or none can be given."""
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
            keeps_to_origin=bool(
                authorization or form
            ),  # a token of nobody's would hide that a login was lost
            cap=MAX_TOKEN_ANSWER,
        )


def is_rejected(answer: Answer, used: str) -> bool:
    """A token that has run out is refused with 403 by some (ECR)."""
    if answer.status != 403 or not used.startswith("Bearer "):
        return answer.status == 401
    return from_response(answer.status, answer.headers, answer.body, "").auth_expired


def _challenges(answer: Answer) -> list[Challenge]:
    return read_challenges(answer.headers.get("WWW-Authenticate", ""))
