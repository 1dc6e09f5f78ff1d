# cython: boundscheck=False, wraparound=False
"""Frames of outcomes in, folded by delivery, bodies of PostgreSQL's binary COPY out. No I/O.

The words are in the twin, fastpath/pure/rows.py. Every frame is checked as fastpath/records.pyx checks it before a byte of
its records is used; the body of a COPY is reserved row by row, for the most that the row's strings can come to.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastpath.columns cimport (
    AT_MS, CHANNEL, CODE, COMPACT, DEVICE, ERROR_CLASS, EXTRA, FIRST, FLAGS, KLASS, LANGUAGE, LARGE, NULL_LENGTH, OUTCOME,
    PAYLOAD, PRIORITY, PROVIDER, PROVIDER_ID, REASON, REASON_MAX, RECIPIENT_ID, SENDING_MS, SMALL, SOURCE, STATION, STATUS,
    TEMPLATE, TYPE, VERDICTS, VERSION, WORD_MAX, Body, accepted_ms, attempt_of, happened_ms, id_of, made_ms, put, put_id,
    put_optional, put_packed, put_small, put_string, put_text, put_time, put_trace, text_at,
)
from fastpath.records cimport ACCEPTED_MS, FRAME_HEADER, ID_OFFSET, ID_WIDTH, checked_size, get_u32, get_u64

from uuid import UUID

from fastpath import layout, outcomes
from fastpath.errors import FrameError
from fastpath.outcomes import Folded, billed
from fastpath.records import unpack_frame

cdef enum:
    ROW = 256  # more than the fixed part of any row: 21 lengths and numbers
    FEW = 16  # outcomes whose units are compared pairwise

cdef int64_t DAY_MS = outcomes.DAY_MS


@cython.final
cdef class RowPacker:

    def __init__(self, order, stations, channels):
        cdef int code
        for code in range(256):
            self._ranks[code] = order.ranks.get(code, -1)
            self._waits[code] = code in order.waits
            self._own[code] = code in order.own
            self._stations[code] = code in stations
            self._channels[code] = code in channels

    def pack(self, frames not None, written=(), uint32_t run=0):
        cdef Batch batch
        cdef list kept = list(frames)  # the batch borrows from them
        memset(&batch, 0, sizeof(Batch))
        try:
            tally = _read(&batch, kept)
            self._group(&batch, kept)
            return Folded(*self._write(&batch, written, run), _days(&batch), tally)
        finally:
            PyMem_Free(batch.told)
            PyMem_Free(batch.groups)
            PyMem_Free(batch.slots)

    cdef int _check(self, const unsigned char *o) except -1:
        if self._ranks[o[STATUS]] < 0 or not self._stations[o[STATION]] or not self._channels[o[CHANNEL]]:
            what = f"status {o[STATUS]} of station {o[STATION]} on channel {o[CHANNEL]}"
            raise ValueError(f"notification {UUID(bytes=id_of(o))}: there is no {what}")
        return 0

    cdef int _group(self, Batch *batch, list frames) except -1:
        """Chains the outcomes of each delivery, in the order of the batch."""
        cdef Py_ssize_t i, slot, room = 16
        cdef Group *group
        while room < 2 * batch.count:
            room *= 2
        batch.mask = room - 1
        batch.groups = <Group *>PyMem_Malloc((batch.count + 1) * sizeof(Group))
        batch.slots = <Py_ssize_t *>PyMem_Malloc(room * sizeof(Py_ssize_t))
        if batch.groups is NULL or batch.slots is NULL:
            raise MemoryError
        memset(batch.slots, 0, room * sizeof(Py_ssize_t))
        for i in range(batch.count):
            self._check(batch.told[i].start)
            slot = _slot(batch, batch.told[i].start)
            if batch.slots[slot]:
                group = &batch.groups[batch.slots[slot] - 1]
                batch.told[group.tail].next = i
                group.tail = i
            else:
                batch.groups[batch.groups_count].head = batch.groups[batch.groups_count].tail = i
                batch.groups_count += 1
                batch.slots[slot] = batch.groups_count
        return 0

    cdef tuple _write(self, Batch *batch, written, uint32_t run):
        cdef Body deliveries = Body(), events = Body()
        cdef Py_ssize_t i, at, first
        cdef bint known
        for i in range(batch.groups_count):
            first = batch.groups[i].head
            while first >= 0 and not batch.told[first].start[FLAGS] & FIRST:
                first = batch.told[first].next
            at = batch.groups[i].head
            known = bool(written) and _key(batch.told[at].start) in written
            if first >= 0 and not known:
                _put_delivery(deliveries, batch, batch.told[first].start, at, self._last(batch, at), run)
                continue
            while at >= 0:
                _put_event(events, batch.told[at].start)
                at = batch.told[at].next
        return deliveries.finish(), events.finish()

    cdef Py_ssize_t _last(self, Batch *batch, Py_ssize_t head) noexcept:
        """Which outcome of a delivery is its status."""
        cdef Py_ssize_t at = head, last = head
        cdef int latest = 0
        cdef (int, int) place, highest = (-1, 0)
        cdef int64_t when, last_when = 0
        if batch.told[head].next < 0:
            return head
        while at >= 0:
            latest = max(latest, self._reach(batch.told[at].start))
            at = batch.told[at].next
        at = head
        while at >= 0:
            place = self._place(batch.told[at].start, latest)
            when = <int64_t>get_u64(batch.told[at].start + AT_MS)
            if (
                place[0] > highest[0]
                or place[0] == highest[0] and (place[1] > highest[1] or place[1] == highest[1] and when >= last_when)
            ):
                last, highest, last_when = at, place, when
            at = batch.told[at].next
        return last

    cdef (int, int) _place(self, const unsigned char *o, int latest) noexcept:
        if attempt_of(o) == 0 and not self._own[o[STATUS]]:
            return latest, self._ranks[o[STATUS]]
        return self._reach(o), self._ranks[o[STATUS]]

    cdef int _reach(self, const unsigned char *o) noexcept:
        cdef int attempt = attempt_of(o)
        return attempt + 1 if attempt and self._waits[o[STATUS]] else attempt


# Reading ------------------------------------------------------------------------------------------------------------------


cdef dict _read(Batch *batch, list frames):
    """Finds the outcomes of all frames and counts them; the tally."""
    cdef bytes frame
    cdef const unsigned char *start
    cdef Py_ssize_t size, at, room = 0
    cdef uint32_t left
    cdef dict tally = {}
    for frame in frames:
        room += PyBytes_GET_SIZE(frame) // PAYLOAD  # no record is shorter
    batch.told = <Told *>PyMem_Malloc((room + 1) * sizeof(Told))
    if batch.told is NULL:
        raise MemoryError
    for frame in frames:
        start, size = <const unsigned char *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)
        if size < FRAME_HEADER or memcmp(start, b"TF", 2) or start[2] != layout.VERSION or start[3] != OUTCOME:
            _refuse(frame)
        at = FRAME_HEADER
        for left in range(get_u32(start + 4)):
            batch.told[batch.count].start = start + at
            batch.told[batch.count].next = -1
            at += checked_size(start, at, size, OUTCOME)
            batch.count += 1
        if at != size or at == FRAME_HEADER:
            _refuse(frame)
    _count(tally, batch)
    return tally


cdef int _refuse(bytes frame) except -1:
    unpack_frame(frame)  # has the words for what is wrong
    raise FrameError(f"frame of kind {frame[3]} among outcomes")


cdef int _count(dict tally, Batch *batch) except -1:
    """Neighbours are mostly of one channel, priority, status and millisecond: they are counted in one step."""
    cdef const unsigned char *o
    cdef const unsigned char *before = NULL
    cdef Py_ssize_t i, run = 0
    for i in range(batch.count):
        o = batch.told[i].start
        if before is not NULL and not (
            o[CHANNEL] == before[CHANNEL] and o[PRIORITY] == before[PRIORITY] and o[STATUS] == before[STATUS]
            and memcmp(o + ACCEPTED_MS, before + ACCEPTED_MS, 8) == 0
        ):
            _add(tally, before, run)
            run = 0
        before = o
        run += 1
    if run:
        _add(tally, before, run)
    return 0


cdef int _add(dict tally, const unsigned char *o, Py_ssize_t run) except -1:
    cdef object key = (o[CHANNEL], o[PRIORITY], o[STATUS]), ms = <int64_t>get_u64(o + ACCEPTED_MS)
    cdef dict ages = tally.setdefault(key, {})
    ages[ms] = ages.get(ms, 0) + run
    return 0


cdef set _days(Batch *batch):
    """Neighbours are mostly of one day."""
    cdef set found = set()
    cdef int64_t day, before = -1
    cdef Py_ssize_t i
    for i in range(batch.count):
        day = made_ms(batch.told[i].start) // DAY_MS
        if day != before:
            found.add(day)
            before = day
    return found


cdef Py_ssize_t _slot(Batch *batch, const unsigned char *o) noexcept:
    """The slot of an outcome's delivery: the one that has it, or a free one."""
    cdef uint64_t mixed = get_u64(o + ID_OFFSET + 8) ^ get_u64(o + ID_OFFSET) * 31 ^ (o[CHANNEL] << 8 | o[DEVICE])
    cdef Py_ssize_t slot = <Py_ssize_t>(mixed * 0x9E3779B97F4A7C15ULL >> 32) & batch.mask
    cdef const unsigned char *other
    while batch.slots[slot]:
        other = batch.told[batch.groups[batch.slots[slot] - 1].head].start
        if (
            memcmp(other + ID_OFFSET, o + ID_OFFSET, ID_WIDTH) == 0
            and other[CHANNEL] == o[CHANNEL] and other[DEVICE] == o[DEVICE]
        ):
            return slot
        slot = (slot + 1) & batch.mask
    return slot


cdef tuple _key(const unsigned char *o):
    return id_of(o), o[CHANNEL], o[DEVICE]


# Writing ------------------------------------------------------------------------------------------------------------------


cdef uint64_t _units(Batch *batch, Py_ssize_t head, int attempts):
    """What fastpath.outcomes.billed says, pairwise."""
    cdef uint32_t units[FEW]
    cdef int attempt[FEW]
    cdef Py_ssize_t at = head
    cdef int count = 0, i, j
    cdef uint64_t total = 0
    cdef bint any_ = False
    while at >= 0 and count < FEW:
        units[count] = get_u32(batch.told[at].start + EXTRA)
        attempt[count] = attempt_of(batch.told[at].start) or attempts
        any_ |= units[count] != 0
        count += 1
        at = batch.told[at].next
    if at >= 0:
        return billed(_told_units(batch, head, attempts))
    if any_:
        for i in range(count):
            for j in range(count):
                if attempt[j] == attempt[i] and (units[j] > units[i] or units[j] == units[i] and j < i):
                    break
            else:
                total += units[i]
    return total


cdef list _told_units(Batch *batch, Py_ssize_t at, int attempts):
    cdef list found = []
    while at >= 0:
        found.append((attempt_of(batch.told[at].start) or attempts, get_u32(batch.told[at].start + EXTRA)))
        at = batch.told[at].next
    return found


cdef const unsigned char *_provider(Batch *batch, Py_ssize_t head, Py_ssize_t last) noexcept:
    """The outcome that names the provider: the last one, or the first that does."""
    cdef Py_ssize_t size, at = head
    text_at(batch.told[last].start, PROVIDER, &size)
    while size == 0 and at >= 0:
        last = at
        text_at(batch.told[at].start, PROVIDER, &size)
        at = batch.told[at].next
    return batch.told[last].start


cdef int _put_delivery(
    Body body, Batch *batch, const unsigned char *first, Py_ssize_t head, Py_ssize_t last, uint32_t run
) except -1:
    cdef Py_ssize_t each = head, room = ROW + 3 * <Py_ssize_t>get_u32(first), size
    cdef const unsigned char *text
    cdef unsigned char *begin
    cdef unsigned char *at
    cdef unsigned char *outcomes
    cdef uint64_t units
    cdef int attempts = 0
    while each >= 0:
        attempts = max(attempts, attempt_of(batch.told[each].start))
        room += <Py_ssize_t>get_u32(batch.told[each].start)  # what `put_packed` writes is less than a record
        each = batch.told[each].next
    cdef const unsigned char *provider = _provider(batch, head, last)
    units = _units(batch, head, attempts)
    begin = body.reserve(room + 3 * <Py_ssize_t>get_u32(provider))
    at = put_id(put(begin, 21, 2), first)
    at = put_time(at, accepted_ms(first))
    at = put_time(at, happened_ms(batch.told[last].start))
    at = put(put(at, 4, 4), run, 4)
    at = put(put(at, 4, 4), min(get_u32(first + VERSION), <uint32_t>LARGE), 4)
    for each in (first[CHANNEL], first[DEVICE], first[PRIORITY], first[KLASS], batch.told[last].start[STATUS], attempts):
        at = put_small(at, <uint32_t>each)
    at = put_small(at, <uint32_t>min(units, <uint64_t>SMALL))
    at = put_trace(at, first)
    at = put_string(at, first, TYPE, -1)
    at = put_string(at, first, RECIPIENT_ID, -1)
    at = put_string(at, first, TEMPLATE, -1)
    at = put_string(at, first, LANGUAGE, -1)
    at = put_string(at, first, SOURCE, -1)
    at = put_string(at, provider, PROVIDER, -1)
    outcomes = at
    at += 4
    at[0] = COMPACT
    at += 1
    each = head
    while each >= 0:
        at = put_packed(at, batch.told[each].start)
        each = batch.told[each].next
    put(outcomes, <uint64_t>(at - outcomes - 4), 4)
    text = text_at(first, VERDICTS, &size)
    at = put_text(at, text, size) if size else put(at, NULL_LENGTH, 4)
    body.grow(at - begin)
    return 0


cdef int _put_event(Body body, const unsigned char *o) except -1:
    cdef unsigned char *begin = body.reserve(ROW + 3 * <Py_ssize_t>get_u32(o))
    cdef unsigned char *at = put_id(put(begin, 16, 2), o)
    at = put_time(at, happened_ms(o))
    if get_u64(o + SENDING_MS):
        at = put_time(at, <int64_t>get_u64(o + SENDING_MS))
    else:
        at = put(at, NULL_LENGTH, 4)
    at = put_small(put_small(at, o[CHANNEL]), o[DEVICE])
    at = put_small(put_small(at, o[STATUS]), o[STATION])
    at = put_small(put_small(at, attempt_of(o)), o[ERROR_CLASS])
    at = put_small(at, get_u32(o + EXTRA))
    at = put_optional(at, o, TYPE)
    at = put_optional(at, o, RECIPIENT_ID)
    at = put_string(at, o, PROVIDER, -1)
    at = put_string(at, o, PROVIDER_ID, WORD_MAX)
    at = put_string(at, o, CODE, WORD_MAX)
    at = put_string(at, o, REASON, REASON_MAX)
    body.grow(at - begin)
    return 0
