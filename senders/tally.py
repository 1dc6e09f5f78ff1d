"""The books of one entry: which of its items are done, and what they left behind since Redis was last told. Pure."""

from core import keys
from core.model import Channel
from core.streams import Append, Entry, Settlement, Wait
from fastpath import Record, pack_frame, unpack_frame
from senders.aftermath import Aftermath


class Tally:
    """One entry of a batch in a sender's hand.

    Attributes:
        entry: the entry as it was read; `entry.done` is only where it started.
        records: its deliveries.
        lost: True once another process has claimed the entry: nothing that is noted here counts any more.
    """

    __slots__ = ("_done", "_letters", "_open", "_outcomes", "_settled", "_waits", "entry", "lost", "records")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.records = unpack_frame(entry.frame)
        self.lost = False
        size = (len(self.records) + 7) // 8
        self._done = bytearray(entry.done.ljust(size, b"\0"))
        self._open = sum(not self.is_done(index) for index in range(len(self.records)))
        self._outcomes: list[Record] = []
        self._waits: list[Wait] = []
        self._letters: list[Record] = []
        self._settled = False

    def is_done(self, index: int) -> bool:
        """Whether the outcome of item `index` is in the books (of this process or of the one before)."""
        return bool(self._done[index >> 3] >> (index & 7) & 1)

    def add(self, index: int, aftermath: Aftermath) -> None:
        """Notes what item `index` left behind; it is done then. An item that is done already is left as it is."""
        if self.is_done(index):
            return
        self._done[index >> 3] |= 1 << (index & 7)
        self._open -= 1
        self._outcomes.extend(aftermath.outcomes)
        if aftermath.wait is not None:
            self._waits.append(aftermath.wait)
        if aftermath.letter is not None:
            self._letters.append(aftermath.letter)

    def take(self, partition: int, channel: Channel) -> Settlement | None:
        """What Redis was not told yet: final once every item is done, else progress; None if there is no news."""
        if self.lost or self._settled or (self._open and not (self._outcomes or self._waits)):
            return None
        appends = [Append(keys.dead(partition, channel), pack_frame([letter])) for letter in self._letters]
        if self._outcomes:
            appends.insert(0, Append(keys.outcomes(partition), pack_frame(self._outcomes)))
        waits = tuple(self._waits)
        self._outcomes, self._waits, self._letters = [], [], []
        self._settled = not self._open
        return Settlement(self.entry, tuple(appends), waits, bytes(self._done) if self._open else None)

    def rest(self) -> Entry | None:
        """The entry as it stands now, to be handed in again; None once it is settled or another's."""
        if self._settled or self.lost:
            return None
        return Entry(
            self.entry.stream, self.entry.id, self.entry.frame, self.entry.waiting, self.entry.deliveries, bytes(self._done)
        )
