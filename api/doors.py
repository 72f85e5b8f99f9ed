"""What every view of the API begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from api.query import Asked, Parameter, checked


class Door(APIView):
    """`asks` has the parameters of the query by action (viewsets) or by method (views), in lower case.

    They are checked once it is known who asks, and `asked` holds what was found. An answer with an error that
    the schema does not name is a fault of the schema: see `api.schema.PROBLEMS`.
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
        """Whoever may come in at all is told what is wrong with the query."""
        super().check_permissions(request)
        if (doing := self._doing(request)) is not None:
            self.asked = checked(request.query_params, self.parameters(doing))

    def _doing(self, request: HttpRequest | Request) -> str | None:
        """None for what is no operation of this address: that is refused, or described."""
        method = (request.method or "").lower()
        if method == "options":
            return None
        if hasattr(self, "action_map"):
            return self.action_map.get(method)  # type: ignore[no-any-return]
        method = "get" if method == "head" else method
        return method if hasattr(self, method) else None
