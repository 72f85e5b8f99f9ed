from __future__ import annotations

import asyncio

import pytest

from gateway.cache import Cache


class Source:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: Exception | None = None

    async def __call__(self, key: str) -> str | None:
        self.asked.append(key)
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        return key.upper() or None


async def test_an_answer_and_an_absence_are_believed_while_fresh() -> None:
    source = Source()
    cache: Cache[str, str | None] = Cache(source, fresh=60)
    assert [await cache.get("a"), await cache.get("a"), await cache.get(""), await cache.get("")] == [
        "A",
        "A",
        None,
        None,
    ]
    assert source.asked == ["a", ""]
    cache.forget("a")
    await cache.get("a")
    assert source.asked == ["a", "", "a"]


async def test_a_stale_answer_is_asked_for_again() -> None:
    source = Source()
    cache: Cache[str, str | None] = Cache(source, fresh=0)
    await cache.get("a")
    await cache.get("a")
    assert source.asked == ["a", "a"]


async def test_callers_who_miss_together_ask_once() -> None:
    source = Source()
    cache: Cache[str, str | None] = Cache(source, fresh=60)
    assert await asyncio.gather(*(cache.get("a") for _ in range(50))) == ["A"] * 50
    assert source.asked == ["a"]


async def test_a_caller_that_leaves_does_not_take_the_answer_with_it() -> None:
    source = Source()
    cache: Cache[str, str | None] = Cache(source, fresh=60)
    leaving = asyncio.create_task(cache.get("a"))
    staying = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "A"


async def test_an_error_is_not_kept() -> None:
    source = Source()
    source.fault = OSError("away")
    cache: Cache[str, str | None] = Cache(source, fresh=60)
    with pytest.raises(OSError, match="away"):
        await cache.get("a")
    source.fault = None
    assert await cache.get("a") == "A"


async def test_it_is_bounded() -> None:
    source = Source()
    cache: Cache[str, str | None] = Cache(source, fresh=60, size=2)
    for key in ("a", "b", "c", "a"):
        await cache.get(key)
    assert source.asked == ["a", "b", "c", "a"]
