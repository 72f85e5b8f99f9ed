"""The look at the rights of all who hold something open. The database is a function here."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest

from servers import standing
from servers.standing import Standing, Watch

ADA, BOB = Standing(1), Standing(2)


class Rows:
    """What `facts` would find, and how often somebody asked anew."""

    def __init__(self) -> None:
        self.rest_on: dict[Standing, Hashable] = {ADA: "a", BOB: "b"}
        self.away = False
        self.looks = 0
        self.asked = 0
        self.may = True
        self.looked = asyncio.Event()

    async def facts(self, held: list[Standing]) -> dict[Standing, Hashable]:
        self.looks += 1
        self.looked.set()
        if self.away:
            raise OSError("the database is away")
        return {one: self.rest_on[one] for one in held}

    async def may_stay(self) -> bool:
        self.asked += 1
        return self.may

    async def next_looks(self, count: int) -> None:
        wanted = self.looks + count
        while self.looks < wanted:
            self.looked.clear()
            await self.looked.wait()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LOOK_EVERY", 0.001)


async def test_who_changes_is_asked_anew_and_nobody_else() -> None:
    """And everybody once, for what changed between the door and the first look."""
    rows, others = Rows(), Rows()
    watch = Watch(rows.facts)
    ada = asyncio.ensure_future(watch.until_over(ADA, rows.may_stay))
    bob = asyncio.ensure_future(watch.until_over(BOB, others.may_stay))
    await rows.next_looks(5)
    assert (rows.asked, others.asked) == (1, 1)
    rows.rest_on[ADA] = "changed, and it is still fine"
    await rows.next_looks(5)
    assert (rows.asked, others.asked) == (2, 1)
    rows.rest_on[ADA], rows.may = "gone", False
    await asyncio.wait_for(ada, 60)
    assert not bob.done()
    bob.cancel()


async def test_while_the_database_is_away_nobody_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()
    watching = asyncio.ensure_future(Watch(rows.facts).until_over(ADA, rows.may_stay))
    await rows.next_looks(3)
    rows.away = True
    await rows.next_looks(3)
    assert not watching.done()
    assert "rights of what is open cannot be looked at now" in caplog.text
    rows.away, rows.may, rows.rest_on[ADA] = False, False, "gone"
    await asyncio.wait_for(watching, 60)


async def test_what_no_row_tells_is_asked_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "ASK_AGAIN_EVERY", 0.001)
    rows = Rows()
    watching = asyncio.ensure_future(Watch(rows.facts).until_over(ADA, rows.may_stay))
    await rows.next_looks(20)
    rows.may = False
    await asyncio.wait_for(watching, 60)


async def test_nobody_looks_when_nothing_is_open() -> None:
    rows = Rows()
    watch = Watch(rows.facts)
    for _ in range(2):
        watching = asyncio.ensure_future(watch.until_over(ADA, rows.may_stay))
        await rows.next_looks(2)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 60)
