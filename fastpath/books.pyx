# cython: boundscheck=False, wraparound=False
"""What a sender's books need of many deliveries at once: outcomes, what is late, what is empty. No I/O.

The words are in the twin, fastpath/pure/books.py. One outcome is encoded as a pattern; each of the others is that pattern
with the numbers of its own delivery. Records were checked when they were unpacked; a part is checked before it is read.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath cimport records
from fastpath.records cimport FRAME_HEADER, HEADER, KIND, Record, get_u32, get_u64, put_u32

from fastpath import layout
from fastpath.errors import FrameError
from fastpath.records import record

cdef enum:
    PRIORITY = 5  # offsets of slots, see fastpath/layout.py
    STATUS = 8
    STATION = 9
    PLATFORM = 10
    ATTEMPT = 12
    ERROR_CLASS = 14
    FLAGS = 15
    VERSION = 16
    EXTRA = 20
    ID = 24
    AT_MS = 48
    EXPIRES_MS = 56
    QUEUED_MS = 64
    SENDING_MS = 72

if [layout.SLOTS[name][:2] for name in (
    "priority", "status", "station", "platform", "attempt", "error_class", "flags", "version", "extra", "at_ms", "expires_ms",
    "queued_ms", "sending_ms",
)] != [
    (PRIORITY, 1), (STATUS, 1), (STATION, 1), (PLATFORM, 1), (ATTEMPT, 2), (ERROR_CLASS, 1), (FLAGS, 1), (VERSION, 4),
    (EXTRA, 4), (AT_MS, 8), (EXPIRES_MS, 8), (QUEUED_MS, 8), (SENDING_MS, 8),
] or layout.ID_OFFSET != ID:
    raise ImportError("fastpath.books was built for another layout; build it again")

cdef bytes _MAGIC = layout.MAGIC + bytes((layout.VERSION,))
cdef int _OUTCOME = layout.OUTCOME, _DELIVERY = layout.DELIVERY
cdef int _CONTENT = layout.STRINGS[layout.DELIVERY].index("content")


def outcome_frame(
    items not None, statuses not None, *, station, attempts, at_ms, begun_ms=0, error_class=0, units=0, provider="",
    provider_id="", code="", reason="",
):
    cdef list all_items = items if type(items) is list else list(items)
    cdef list patterns = []
    cdef bytes id = bytes(16)
    for status in statuses:
        patterns.append(
            record(
                _OUTCOME, id=id, station=station, status=status, error_class=error_class, extra=units, at_ms=at_ms,
                sending_ms=begun_ms, provider=provider, provider_id=provider_id, code=code, reason=reason,
            )
        )
    if not all_items or not patterns:
        raise ValueError("a frame has at least one record")
    cdef Py_ssize_t size = (<Record>patterns[0])._size, count = len(all_items) * len(patterns)  # patterns are of one size
    if count > 0xFFFFFFFF:
        raise ValueError("count does not fit 4 bytes")
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, FRAME_HEADER + count * size)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(frame)
    cdef int more = attempts
    cdef Record item, pattern
    _put_head(at, _OUTCOME, <uint32_t>count)
    at += FRAME_HEADER
    for item in all_items:
        for pattern in patterns:
            memcpy(at, pattern._start, size)
            _put_own(at, _start(item), more)
            at += size
    return frame


cdef int _put_own(unsigned char *at, const unsigned char *item, int more) except -1:
    """The numbers that an outcome takes over from its delivery."""
    cdef long attempt = (item[ATTEMPT] | item[ATTEMPT + 1] << 8) + <long>more
    if attempt < 0 or attempt > 0xFFFF:
        raise ValueError("attempt does not fit 2 bytes")
    memcpy(at + PRIORITY, item + PRIORITY, STATUS - PRIORITY)  # with klass and channel
    memcpy(at + PLATFORM, item + PLATFORM, ATTEMPT - PLATFORM)  # with device
    at[ATTEMPT], at[ATTEMPT + 1] = attempt & 255, attempt >> 8
    memcpy(at + VERSION, item + VERSION, EXTRA - VERSION)
    memcpy(at + ID, item + ID, AT_MS - ID)  # with accepted_ms
    memcpy(at + EXPIRES_MS, item + EXPIRES_MS, SENDING_MS - EXPIRES_MS)  # with queued_ms
    return 0


def join_frames(frames not None):
    cdef list all_frames = frames if type(frames) is list else list(frames)
    cdef bytes each
    cdef Py_ssize_t total = FRAME_HEADER
    cdef uint64_t count = 0
    for each in all_frames:
        if each is None:
            raise TypeError("a frame is bytes")
        if PyBytes_GET_SIZE(each) < FRAME_HEADER or memcmp(PyBytes_AS_STRING(each), PyBytes_AS_STRING(_MAGIC), 3):
            raise FrameError("not a frame of this version")
        total += PyBytes_GET_SIZE(each) - FRAME_HEADER
        count += get_u32(<const unsigned char *>PyBytes_AS_STRING(each) + 4)
    if not all_frames:
        raise ValueError("a frame has at least one record")
    cdef int kind = (<const unsigned char *>PyBytes_AS_STRING(<bytes>all_frames[0]))[3]
    for each in all_frames:
        if (<const unsigned char *>PyBytes_AS_STRING(each))[3] != kind:
            raise ValueError("records of different kinds in one frame")
    if count > 0xFFFFFFFF:
        raise ValueError("count does not fit 4 bytes")
    if len(all_frames) == 1:
        return all_frames[0]
    cdef bytes joined = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(joined)
    _put_head(at, kind, <uint32_t>count)
    at += FRAME_HEADER
    for each in all_frames:
        memcpy(at, PyBytes_AS_STRING(each) + FRAME_HEADER, PyBytes_GET_SIZE(each) - FRAME_HEADER)
        at += PyBytes_GET_SIZE(each) - FRAME_HEADER
    return joined


def overdue(items not None, now_ms):
    if not -(1 << 63) <= now_ms < 1 << 63:
        raise ValueError("now_ms does not fit 8 bytes")
    cdef int64_t now = now_ms, expires
    cdef Py_ssize_t place = 0
    cdef list found = []
    cdef Record item
    for item in items:
        expires = <int64_t>get_u64(_start(item) + EXPIRES_MS)
        if expires and expires <= now:
            found.append(place)
        place += 1
    return found


def lacking(items not None, bytes parts not None):
    cdef unsigned char[256] wanted
    cdef Py_ssize_t place = 0, size
    cdef const char *content
    cdef list found = []
    cdef Record item
    memset(wanted, 0, 256)
    for part in parts:
        wanted[<int>part] = 1
    for item in items:
        if _start(item)[KIND] != _DELIVERY:
            raise TypeError("only deliveries have content")
        content = records.text_of(item, _CONTENT, &size)
        if not _says(<const unsigned char *>content, size, wanted):
            found.append(place)
        place += 1
    return found


cdef int _says(const unsigned char *start, Py_ssize_t total, const unsigned char *wanted) except -1:
    """Whether packed parts hold a wanted one that is not empty; all of them are checked."""
    cdef unsigned char[256] seen
    cdef bint says = False
    cdef Py_ssize_t at = 0, size
    memset(seen, 0, 256)
    while at < total:
        if total - at < 5:
            raise FrameError("content is cut off")
        size = get_u32(start + at + 1)
        if size > total - at - 5 or seen[start[at]]:
            raise FrameError("content is cut off or has a part twice")
        seen[start[at]] = 1
        says = says or (size > 0 and wanted[start[at]])
        at += 5 + size
    return says


cdef inline const unsigned char *_start(Record self) except NULL:
    if self is None or self._start is NULL:
        raise TypeError("records are made by record() and unpack_frame()")
    return self._start


cdef int _put_head(unsigned char *at, int kind, uint32_t count) noexcept:
    memcpy(at, PyBytes_AS_STRING(_MAGIC), 3)
    at[3] = kind
    put_u32(at + 4, count)
    return 0
