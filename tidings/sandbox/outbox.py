"""Posts that the simulators owe to somebody's webhooks: sent when due, repeated with backoff until they are taken.

Can be told to lose, double and delay posts, as networks do. Knows no provider: who signs what is in webhooks.py and phone.py.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

WORKERS = 16  # posts in flight at once
MAX_WAITING = 200_000  # posts; beyond them the newest is dropped and counted
BACKOFF_S = (0.5, 1, 2, 4, 8, 15, 30, 60)  # then every 60 s
GIVE_UP_S = 24 * 3600  # as SendGrid's
TIMEOUT_S = 15.0  # as Twilio's


@dataclass(slots=True)
class Weather:
    """What befalls posts. Percentages are of posts; the dice are seeded, so that a run can be repeated."""

    delay_ms: int = 0
    drop_percent: float = 0
    duplicate_percent: float = 0
    seed: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(0))


@dataclass(slots=True)
class Post:
    """One request. `sign` makes headers when it is sent, so that a repeated post bears the time of its repetition."""

    url: str
    body: bytes
    sign: Callable[[bytes], Mapping[str, str]]
    done: Callable[[], None] | None = None  # called when it was taken
    attempts: int = 0
    born: float = field(default_factory=time.monotonic)


class Outbox:
    """Posts that are due, posts that will be, and the workers that send them."""

    def __init__(self) -> None:
        self.weather = Weather()
        self.sent = self.failed = self.dropped = 0  # posts taken, posts refused or unanswered (each is repeated), posts lost
        self._due: asyncio.Queue[Post] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """Posts that are not taken yet, those in flight not counted."""
        return self._due.qsize() + len(self._later)

    async def start(self) -> None:
        """Start the workers."""
        connector = aiohttp.TCPConnector(limit=WORKERS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        self._tasks = [asyncio.create_task(self._work(self._session)) for _ in range(WORKERS)]

    async def stop(self) -> None:
        """Stop at once; what waits is lost, as it is when a provider's machine dies."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for timer in self._later:
            timer.cancel()
        self._later.clear()
        if self._session:
            await self._session.close()

    def put(self, post: Post, delay_s: float = 0.0) -> None:
        """Owe a post, due after `delay_s` and what the weather adds."""
        weather = self.weather
        if weather.drop_percent and weather.dice.random() * 100 < weather.drop_percent:
            self.dropped += 1
            return
        self._push(post, delay_s + weather.delay_ms / 1000)
        if weather.duplicate_percent and weather.dice.random() * 100 < weather.duplicate_percent:
            self._push(Post(post.url, post.body, post.sign), delay_s + weather.delay_ms / 1000)

    def _push(self, post: Post, delay_s: float) -> None:
        if self.waiting >= MAX_WAITING:
            self.dropped += 1
        elif delay_s <= 0:
            self._due.put_nowait(post)
        else:

            def fall_due() -> None:
                self._later.discard(timer)
                self._due.put_nowait(post)

            timer = asyncio.get_running_loop().call_later(delay_s, fall_due)
            self._later.add(timer)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            post = await self._due.get()
            post.attempts += 1
            if await self._deliver(session, post):
                self.sent += 1
                if post.done:
                    post.done()
                continue
            self.failed += 1
            if time.monotonic() - post.born < GIVE_UP_S:
                pause = BACKOFF_S[min(post.attempts, len(BACKOFF_S)) - 1]
                self._push(post, pause)

    async def _deliver(self, session: aiohttp.ClientSession, post: Post) -> bool:
        """Whether somebody answered with 2xx."""
        try:
            async with session.post(post.url, data=post.body, headers=post.sign(post.body), allow_redirects=False) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return False
