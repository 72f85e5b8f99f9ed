"""What no door is to see."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = [pytest.mark.core, pytest.mark.django_db]


@pytest.mark.parametrize(
    "address",
    [
        "/v0.1/servers?search=%00", "/v0.1/servers/org.example%2F%00/versions", "/api/servers/?search=a%00",
        "/admin/login/?next=%00", "/hooks/%00/",
    ],
)  # fmt: skip
def test_an_address_with_nul_is_refused(client: Client, address: str) -> None:
    assert client.get(address).status_code == 400


def test_a_login_with_nul_in_its_name_fails_as_any_other(client: Client) -> None:
    answer = client.post("/admin/login/", {"username": "a\x00", "password": "b"})
    assert answer.status_code == 200
