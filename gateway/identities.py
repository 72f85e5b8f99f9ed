"""Finds who is calling: the owner of a token of this platform, or a user whom the trusted issuer names."""

from __future__ import annotations

from gateway import errors, metadata, oauth, tokens
from gateway.cache import Cache
from gateway.database import DatabaseThreads
from gateway.oauth import Grant, Issuer
from gateway.options import Options
from gateway.request import Request
from gateway.tokens import Identity


class Identities:
    """Identifies callers. An answer is kept for `options.fresh` seconds, for both kinds of tokens."""

    def __init__(self, options: Options, database: DatabaseThreads) -> None:
        self._options, self._trust = options, options.trust
        self._scopes = " ".join(self._trust.scopes) if self._trust else ""
        self._ours: Cache[str, Identity | None] = Cache(database.asks(tokens.identify), options.fresh)
        self._users: Cache[str, Identity | None] = Cache(database.asks(tokens.identify_user), options.fresh)
        self._renew = database.asks(tokens.renewed)
        issuer = Issuer(self._trust) if self._trust else None
        self._grants = Cache(issuer.verify, options.fresh) if issuer else None

    async def of(self, request: Request, slug: str) -> Identity:
        """Returns the caller. Raises `Refusal`: 401 without a valid token, 403 with an insufficient one."""
        value = tokens.bearer(request.every(b"authorization"))
        if self._grants is None or not value or tokens.could_be_ours(value):
            identity = await self._ours.get(value) if tokens.could_be_ours(value) else None
        else:
            identity = await self._of_issuer(value, request, slug)
        if identity is None:
            where = self._metadata(request, slug)
            raise errors.unauthorized(where, presented=bool(value), scopes=self._scopes)
        return identity

    async def again(self, identity: Identity, request: Request, slug: str) -> Identity:
        """Returns the same caller as of now. Raises `Refusal` (401) if the platform's token or the user is no
        longer valid.

        An issuer's token that expires during a call does not end the call: clients renew it for the next one.
        """
        now = await self._renew(identity)
        if now is None:
            raise errors.unauthorized(self._metadata(request, slug), presented=True, scopes=self._scopes)
        return now

    async def _of_issuer(self, value: str, request: Request, slug: str) -> Identity:
        assert self._grants is not None
        where = self._metadata(request, slug)
        try:
            grant = await self._grants.get((value, metadata.resource(request.base(self._options), slug)))
        except oauth.Invalid as invalid:
            raise errors.unauthorized(
                where, presented=True, scopes=self._scopes, reason=str(invalid)
            ) from None
        self._check_scopes(grant, where)
        user = await self._users.get(grant.user) if grant.user else None
        if user is None:
            raise errors.unknown_user()
        return user

    def _check_scopes(self, grant: Grant, where: str) -> None:
        if self._trust and not grant.scopes.issuperset(self._trust.scopes):
            raise errors.insufficient_scope(where, self._scopes)

    def _metadata(self, request: Request, slug: str) -> str:
        return metadata.url(request.base(self._options), slug)
