"""A platform that is killed between two tries sends what is left when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.upping import Machine, Session, machine
from tests.eventually import eventually
from tests.notices.receiver import Reply, receiving

pytestmark = pytest.mark.real


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, migrated=True) as made:
        yield made


def test_what_was_not_delivered_survives_a_kill(here: Machine) -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(503), Reply(503)]
        up = here.start()
        session = Session(up, up.password)
        channel = session.post("/api/channels/", {"name": "On call", "url": receiver.url()})
        notice = session.post(f"/api/channels/{channel['id']}/test/")
        eventually(lambda: len(receiver.calls) == 1, what="the first try")
        eventually(
            lambda: session.get(f"/api/notices/{notice['id']}/")["last_status"] == 503, what="it is noted"
        )

        receiver.hold.clear()  # the second try gets no answer: the platform dies in it
        eventually(lambda: len(receiver.calls) == 2, what="the second try")
        up.kill()
        receiver.hold.set()
        command = "from notices.models import Notice; from django.utils.timezone import now; "
        command += "Notice.objects.update(due_at=now())"  # as when the dead process' lease has run out
        assert here.command("shell", "-c", command).returncode == 0

        again = Session(here.start(), up.password)
        eventually(lambda: again.get(f"/api/notices/{notice['id']}/")["state"] == "sent", what="it is sent")
        assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
        assert [call.json["type"] for call in receiver.calls] == ["test"] * 3
