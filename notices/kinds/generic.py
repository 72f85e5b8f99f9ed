"""A receiver that takes the payload as it is, signed by Standard Webhooks 1.0.0. Pure."""

from __future__ import annotations

from notices.kinds.base import Kind, Request, Told


def request(url: str, told: Told) -> Request:
    return Request(url, told.payload)


KIND = Kind(label="Webhook (Standard Webhooks)", request=request, signed=True)
