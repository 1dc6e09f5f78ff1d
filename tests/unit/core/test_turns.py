"""Turns: one waiter at a time, and the loop looks at its sockets in between."""

import asyncio
import socket

from core.turns import Turns


async def test_what_arrives_during_a_turn_is_seen_to_before_the_next() -> None:
    turns, seen = Turns(), list[str]()
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def heavy(name: str) -> None:
        await turns.wait()
        seen.append(name)
        ours.send(b"x")

    async def urgent() -> None:
        for _ in range(3):
            await reader.readexactly(1)
            seen.append("urgent")

    await asyncio.gather(urgent(), *(heavy(name) for name in "abc"))
    writer.close()
    ours.close()
    assert seen == ["a", "urgent", "b", "urgent", "c", "urgent"]


async def test_one_who_gave_up_holds_nobody_up() -> None:
    turns = Turns()
    gone, stays = asyncio.create_task(turns.wait()), asyncio.create_task(turns.wait())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(stays, 1)
    await asyncio.wait_for(turns.wait(), 1)
