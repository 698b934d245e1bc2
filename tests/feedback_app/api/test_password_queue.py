"""Turns at costly work: in rotation, bounded, and never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from feedback_app.api.password_queue import Lane, Turns
from feedback_app.errors import Crowded


@asynccontextmanager
async def held(lane: Lane) -> AsyncIterator[None]:
    """The lane's thread is taken while the block runs."""
    begun, go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(20)

    holding = asyncio.create_task(lane.run("holder", hold))
    await asyncio.to_thread(begun.wait, 20)
    try:
        yield
    finally:
        go.set()
        await holding


def wait(lane: Lane, done: list[str], who: str, what: str = "") -> asyncio.Task[None]:
    return asyncio.create_task(lane.run(who, lambda: done.append(what or who)))


async def test_whoever_asks_once_is_not_behind_whoever_asks_often() -> None:
    lane, done = Lane("test"), list[str]()
    async with held(lane):
        tasks = [wait(lane, done, "often") for _ in range(5)]
        tasks += [wait(lane, done, "once"), wait(lane, done, "twice"), wait(lane, done, "twice")]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert done == ["often", "once", "twice", "often", "twice", "often", "often", "often"]


async def test_a_full_lane_refuses_the_newest_of_the_longest_line() -> None:
    lane, done = Lane("test", most=4, of_one=3), list[str]()
    async with held(lane):
        tasks = [wait(lane, done, "often", f"often {number}") for number in range(4)]
        tasks += [wait(lane, done, who) for who in ("b", "c", "d", "e")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [isinstance(outcome, Crowded) for outcome in outcomes]
    assert refused == [False, True, True, True, False, False, False, True]
    assert sorted(done) == ["b", "c", "d", "often 0"]


async def test_whoever_goes_away_gives_the_turn_on() -> None:
    lane, done = Lane("test"), list[str]()
    async with held(lane):
        gone, stays = wait(lane, done, "gone"), wait(lane, done, "stays")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    await asyncio.wait_for(stays, 20)
    assert done == ["stays"]
    await asyncio.wait_for(lane.run("later", lambda: done.append("later")), 20)


async def test_a_turn_given_to_whoever_leaves_at_that_moment_is_not_lost() -> None:
    lane, done = Lane("test"), list[str]()
    async with held(lane):
        leaves, stays = wait(lane, done, "leaves"), wait(lane, done, "stays")
        await asyncio.sleep(0)
        lane.next_turn()  # as when the thread becomes free
        leaves.cancel()
        await asyncio.gather(leaves, return_exceptions=True)
        await asyncio.wait_for(asyncio.shield(asyncio.sleep(0)), 1)
    await asyncio.wait_for(stays, 20)
    assert done == ["stays"]


async def test_work_that_fails_frees_the_lane_and_says_why() -> None:
    lane = Lane("test")

    def fail() -> None:
        raise ValueError("because")

    with pytest.raises(ValueError, match="because"):
        await lane.run("a", fail)
    assert await asyncio.wait_for(lane.run("a", lambda: 7), 20) == 7


async def test_the_known_never_wait_for_strangers() -> None:
    turns, done = Turns(), list[str]()
    async with held(turns.strangers):
        stranger = asyncio.create_task(turns.run("x", False, lambda: done.append("stranger")))
        await asyncio.wait_for(turns.run("ada", True, lambda: done.append("known")), 20)
        assert done == ["known"]
    await stranger
