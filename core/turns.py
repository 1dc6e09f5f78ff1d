"""Turns at the event loop: between two heavy steps of one process, whatever has arrived meanwhile is seen to first. No I/O."""

import asyncio
from collections import deque

ROUNDS = 2  # of the loop between two turns: in one it reads what has come, in the next it wakes who waited for that


class Turns:
    """A queue in which one waiter at a time goes on, and none before the loop has seen to what came since the last.

    A loop runs all that is ready before it looks at its sockets: four lanes that are ready at once would hold up by four
    slices what came with the first of them.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running = False

    async def wait(self) -> None:
        """Waits for a turn; it ends when the caller waits for something else."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if not self._running:
            self._running = True
            self._after(ROUNDS)
        await turn

    def _after(self, rounds: int) -> None:
        loop = asyncio.get_running_loop()
        if rounds:
            loop.call_soon(self._after, rounds - 1)
            return
        while self._waiting and self._waiting[0].done():  # nobody waits for it any more
            self._waiting.popleft()
        self._running = bool(self._waiting)
        if self._running:
            self._waiting.popleft().set_result(None)
            loop.call_soon(self._after, ROUNDS)
