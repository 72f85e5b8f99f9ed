"""docs/webhooks.md against the code: the sample checks what we sign, the waits are those of the sender."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from notices import backoff, signing

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def sample() -> Any:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names["is_ours"]


def test_the_sample_knows_our_signatures() -> None:
    is_ours, secret, other, now = sample(), signing.new_secret(), signing.new_secret(), int(time.time())
    body = b'{"type": "test"}'
    assert is_ours(secret, signing.headers("msg_1", now, body, [secret]), body)
    assert is_ours(secret, signing.headers("msg_1", now, body, [other, secret]), body)
    assert not is_ours(secret, signing.headers("msg_1", now, body, [other]), body)
    assert not is_ours(secret, signing.headers("msg_1", now, body, [secret]), body + b" ")
    assert not is_ours(secret, signing.headers("msg_1", now - 301, body, [secret]), body)


def test_the_waits() -> None:
    told = "5 s, 30 s, 2 min, 10 min, 30 min, 1, 2, 4 and 8 hours"
    assert told in PAGE
    assert backoff.WAITS == (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)
    assert backoff.MOST_TRIES == 10
    assert 15 < sum(backoff.WAITS) / 3600 < 17
