"""A token bucket shared by all senders of a provider account: the account's rate holds for the whole installation.

A provider's 429 halves the rate (at most once a second, down to a twentieth); quiet time brings it back. A reserve of
tokens is kept for critical notifications.
"""

from dataclasses import dataclass

from core import keys
from core.store import Arg, Store


@dataclass(frozen=True, slots=True)
class Rate:
    """What an account may do.

    Attributes:
        per_s: tokens a second, at full speed.
        burst: tokens at most at once.
        reserve: tokens of `burst` that only critical ones may take.
    """

    per_s: float
    burst: int
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """An answer: tokens granted, milliseconds until another one may be there, the rate in force (tokens/s)."""

    tokens: int
    wait_ms: int
    per_s: float


class Bucket:
    """The bucket of one account."""

    def __init__(self, store: Store, account: str, rate: Rate) -> None:
        self._store = store
        self._key = keys.bucket(account)
        self.rate = rate

    async def open(self) -> "Bucket":
        """Loads the script; call once."""
        self._script = await self._store.script("bucket")
        return self

    async def take(self, wanted: int, *, critical: bool = False, now_ms: int = 0) -> Grant:
        """Up to `wanted` tokens. `now_ms` 0 goes by Redis' clock, so that hosts agree."""
        return await self._call(wanted, critical, now_ms, slow_down=False)

    async def slow_down(self, *, now_ms: int = 0) -> Grant:
        """The provider said 429: halves the rate and empties the bucket; repeats within a second count once."""
        return await self._call(0, False, now_ms, slow_down=True)

    async def _call(self, wanted: int, critical: bool, now_ms: int, *, slow_down: bool) -> Grant:
        rate = self.rate
        args: list[Arg] = [str(rate.per_s), rate.burst, rate.reserve, wanted, int(critical), now_ms, int(slow_down)]
        ((tokens, wait_ms, millis),) = await self._store.send([self._script.call([self._key], args)])
        return Grant(tokens, wait_ms, millis / 1000)
