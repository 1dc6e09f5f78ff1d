"""The books of one entry: which of its items are done, and what they left behind since Redis was last told. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from core import keys
from core.model import Channel
from core.streams import Append, Entry, Settlement, Wait
from fastpath import Record, join_frames, pack_frame, unpack_frame
from senders.aftermath import Aftermath

_NO, _YES = b"01"  # flags of items, written so that int() reads them


class Tally:
    """One entry of a batch in a sender's hand.

    Attributes:
        entry: the entry as it was read; `entry.done` is only where it started.
        records: its deliveries.
        first: the place of its first delivery among those of the batch; the desk's own business.
        lost: True once another process has claimed the entry: nothing that is noted here counts any more.
    """

    __slots__ = ("_done", "_frames", "_letters", "_open", "_settled", "_waits", "entry", "first", "lost", "records")

    def __init__(self, entry: Entry, first: int = 0) -> None:
        self.entry = entry
        self.records = unpack_frame(entry.frame)
        self.first = first
        self.lost = False
        self._done = _flags(entry.done, len(self.records))  # a byte for each item: read and set far oftener than told
        self._open = self._done.count(_NO)
        self._frames: list[bytes] = []
        self._waits: list[Wait] = []
        self._letters: list[Record] = []
        self._settled = False

    @property
    def open(self) -> int:
        """How many items are not done."""
        return self._open

    def is_done(self, index: int) -> bool:
        """Whether the outcome of item `index` is in the books (of this process or of the one before)."""
        return self._done[index] == _YES

    def still_open(self, indexes: Iterable[int]) -> list[int]:
        """Those of the items that are not done."""
        done = self._done
        return [index for index in indexes if done[index] == _NO]

    def add(self, index: int, aftermath: Aftermath) -> None:
        """Notes what item `index` left behind; it is done then. An item that is done already is left as it is."""
        if not self.is_done(index):
            self.add_all((index,), aftermath)

    def add_all(self, indexes: Sequence[int], aftermath: Aftermath) -> None:
        """Notes what items that are still open left behind together."""
        for index in indexes:
            self._done[index] = _YES
        self._open -= len(indexes)
        if aftermath.frame:
            self._frames.append(aftermath.frame)
        if aftermath.wait is not None:
            self._waits.append(aftermath.wait)
        if aftermath.letter is not None:
            self._letters.append(aftermath.letter)

    def take(self, partition: int, channel: Channel) -> Settlement | None:
        """What Redis was not told yet: final once every item is done, else progress; None if there is no news."""
        if self.lost or self._settled or (self._open and not (self._frames or self._waits)):
            return None
        appends = [Append(keys.dead(partition, channel), pack_frame([letter])) for letter in self._letters]
        if self._frames:
            appends.insert(0, Append(keys.outcomes(partition), join_frames(self._frames)))
        waits = tuple(self._waits)
        self._frames, self._waits, self._letters = [], [], []
        self._settled = not self._open
        return Settlement(self.entry, tuple(appends), waits, _bitmap(self._done) if self._open else None)

    def rest(self) -> Entry | None:
        """The entry as it stands now, to be handed in again; None once it is settled or another's."""
        if self._settled or self.lost:
            return None
        return replace(self.entry, done=_bitmap(self._done))


def _flags(bitmap: bytes, count: int) -> bytearray:
    """Bit i of byte i // 8, for `count` items, as a byte each."""
    bits = int.from_bytes(bitmap, "little") & ((1 << count) - 1)
    return bytearray(f"{bits:0{count}b}".encode()[::-1])


def _bitmap(flags: bytearray) -> bytes:
    """The way back."""
    return int(flags[::-1], 2).to_bytes((len(flags) + 7) // 8, "little")
