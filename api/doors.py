"""The base class of the API's views. It checks the parameters of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from api.query import Asked, Parameter, checked


class Door(APIView):
    """`asks` declares the query parameters by action (viewsets) or by method (views), in lower case.

    They are checked after authentication and permissions; `asked` holds their values. Each error that a view
    may answer must be in the schema: see `api.schema.PROBLEMS`.
    """

    asks: Mapping[str, Sequence[Parameter]] = {}
    asked: Asked = {}

    @classmethod
    def parameters(cls, doing: str) -> Sequence[Parameter]:
        return cls.asks.get(doing, ())

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        try:
            return super().perform_content_negotiation(request, force)
        except Http404:
            raise ValidationError({"format": "There is no such format here."}) from None

    def check_permissions(self, request: Request) -> None:
        """Checks the query last: only who may use the view learns what is wrong with it."""
        super().check_permissions(request)
        if (doing := self._doing(request)) is not None:
            self.asked = checked(request.query_params, self.parameters(doing))

    def _doing(self, request: HttpRequest | Request) -> str | None:
        """The name of the operation; None for OPTIONS and for methods that this address does not have."""
        method = (request.method or "").lower()
        if method == "options":
            return None
        if hasattr(self, "action_map"):
            return self.action_map.get(method)  # type: ignore[no-any-return]
        method = "get" if method == "head" else method
        return method if hasattr(self, method) else None
