# cython: boundscheck=False, wraparound=False
"""Columns of PostgreSQL's binary COPY, written from the bytes of an outcome: the lower half of fastpath/rows.pyx. No I/O.

The words are in the twin, fastpath/pure/rows.py. Outcomes were checked before (see `checked_size` in fastpath/records.pyx), and
whoever calls a `put_` has reserved room for the most that it writes; each returns where the next column begins.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from fastpath.records cimport ACCEPTED_MS, HEADER, ID_OFFSET, ID_WIDTH, get_u32, get_u64
from fastpath.wire cimport put_varint

from fastpath import layout, outcomes
from fastpath.errors import FrameError

cdef int64_t EPOCH_MS = 946684800000
cdef int64_t LAST_MS = 4102444800000
cdef bytes _HEAD = outcomes.COPY_HEAD
cdef bytes _END = outcomes.COPY_END

if {name: layout.SLOTS[name][0] for name in (
    "priority", "klass", "channel", "status", "station", "device", "attempt", "error_class", "flags", "version", "extra",
    "at_ms", "queued_ms", "sending_ms",
)} != {
    "priority": PRIORITY, "klass": KLASS, "channel": CHANNEL, "status": STATUS, "station": STATION, "device": DEVICE,
    "attempt": ATTEMPT, "error_class": ERROR_CLASS, "flags": FLAGS, "version": VERSION, "extra": EXTRA,
    "at_ms": AT_MS, "queued_ms": QUEUED_MS, "sending_ms": SENDING_MS,
} or layout.STRINGS[OUTCOME] != (
    "type", "recipient_id", "template", "language", "source", "traceparent", "provider", "provider_id", "code", "reason",
    "verdicts",
) or (layout.OUTCOME, layout.FIRST, outcomes.COMPACT, outcomes.BEGUN, outcomes.EPOCH_MS, outcomes.LAST_MS) != (
    OUTCOME, FIRST, COMPACT, BEGUN, EPOCH_MS, LAST_MS
) or (outcomes.SMALL, outcomes.LARGE, outcomes.WORD_MAX, outcomes.REASON_MAX) != (SMALL, LARGE, WORD_MAX, REASON_MAX):
    raise ImportError("fastpath.columns was built for another layout; build it again")


@cython.final
cdef class Body:

    def __cinit__(self):
        self._data = NULL
        self._size = self._room = 0
        memcpy(self.reserve(PyBytes_GET_SIZE(_HEAD)), PyBytes_AS_STRING(_HEAD), PyBytes_GET_SIZE(_HEAD))
        self._size = PyBytes_GET_SIZE(_HEAD)

    def __dealloc__(self):
        PyMem_Free(self._data)

    cdef unsigned char *reserve(self, Py_ssize_t more) except NULL:
        """Room for so many bytes, at the end; who has written tells `grow`."""
        cdef Py_ssize_t room = self._size + more
        cdef void *data
        if room > self._room:
            room = max(room, 2 * self._room, 4096)
            data = PyMem_Realloc(self._data, room)
            if data is NULL:
                raise MemoryError
            self._data = <unsigned char *>data
            self._room = room
        return self._data + self._size

    cdef void grow(self, Py_ssize_t written) noexcept:
        self._size += written

    cdef bytes finish(self):
        """The whole body; b"" if no row was written."""
        if self._size == PyBytes_GET_SIZE(_HEAD):
            return b""
        memcpy(self.reserve(PyBytes_GET_SIZE(_END)), PyBytes_AS_STRING(_END), PyBytes_GET_SIZE(_END))
        return PyBytes_FromStringAndSize(<const char *>self._data, self._size + PyBytes_GET_SIZE(_END))


cdef int64_t made_ms(const unsigned char *o) noexcept:
    cdef int64_t ms = 0
    cdef int i
    for i in range(6):
        ms = ms << 8 | o[ID_OFFSET + i]
    return ms


cdef int64_t accepted_ms(const unsigned char *o) noexcept:
    cdef int64_t ms = <int64_t>get_u64(o + ACCEPTED_MS)
    return ms if ms else made_ms(o)


cdef int64_t happened_ms(const unsigned char *o) noexcept:
    cdef int64_t ms = <int64_t>get_u64(o + AT_MS)
    if ms == 0:
        ms = <int64_t>get_u64(o + QUEUED_MS)
    return ms if ms else accepted_ms(o)


cdef bytes id_of(const unsigned char *o):
    return PyBytes_FromStringAndSize(<const char *>o + ID_OFFSET, ID_WIDTH)


cdef unsigned char *put_time(unsigned char *at, int64_t ms) noexcept:
    if ms < 0 or ms > LAST_MS:
        ms = LAST_MS
    return put(put(at, 8, 4), <uint64_t>((ms - EPOCH_MS) * 1000), 8)


cdef unsigned char *put_id(unsigned char *at, const unsigned char *o) noexcept:
    memcpy(put(at, ID_WIDTH, 4), o + ID_OFFSET, ID_WIDTH)
    return at + 4 + ID_WIDTH


cdef unsigned char *put_text(unsigned char *at, const unsigned char *text, Py_ssize_t size) noexcept:
    """Length and bytes; U+0000 becomes U+FFFD. At most 4 + 3 * size bytes."""
    cdef Py_ssize_t i
    cdef unsigned char *end = at + 4
    if size == 0 or memchr(text, 0, size) is NULL:
        memcpy(end, text, size)
        end += size
    else:
        for i in range(size):
            if text[i]:
                end[0] = text[i]
                end += 1
            else:
                end[0], end[1], end[2] = 0xEF, 0xBF, 0xBD
                end += 3
    put(at, <uint64_t>(end - at - 4), 4)
    return end


cdef int _require_utf8(const unsigned char *text, Py_ssize_t size, int index) except -1:
    cdef uint64_t eight, seen = 0
    cdef Py_ssize_t i = 0
    while i + 8 <= size:
        memcpy(&eight, text + i, 8)
        seen |= eight
        i += 8
    while i < size:
        seen |= text[i]
        i += 1
    if not seen & 0x8080808080808080ULL:
        return 0
    try:
        PyUnicode_DecodeUTF8(<const char *>text, size, NULL)
    except UnicodeDecodeError as error:
        raise FrameError(f"{layout.STRINGS[OUTCOME][index]} is not UTF-8") from error
    return 0


cdef inline Py_ssize_t _cut(const unsigned char *text, Py_ssize_t size, Py_ssize_t most) noexcept:
    """The size of at most `most` bytes of UTF-8, no character halved."""
    if size <= most:
        return size
    while most and text[most] & 0xC0 == 0x80:
        most -= 1
    return most


cdef unsigned char *put_string(unsigned char *at, const unsigned char *o, int index, Py_ssize_t most) except NULL:
    """A string of an outcome as a text column, cut to `most` bytes (-1: not)."""
    cdef Py_ssize_t size
    cdef const unsigned char *text = text_at(o, index, &size)
    _require_utf8(text, size, index)
    return put_text(at, text, size if most < 0 else _cut(text, size, most))


cdef unsigned char *put_optional(unsigned char *at, const unsigned char *o, int index) except NULL:
    cdef Py_ssize_t size
    text_at(o, index, &size)
    return put_string(at, o, index, -1) if size else put(at, NULL_LENGTH, 4)


cdef unsigned char *put_packed(unsigned char *at, const unsigned char *o) except NULL:
    """One outcome for the column `outcomes`, see fastpath/outcomes.py. At most a header and the outcome's strings."""
    cdef const unsigned char *text
    cdef Py_ssize_t size
    cdef int index
    cdef uint32_t units = get_u32(o + EXTRA)
    cdef uint64_t happened = <uint64_t>happened_ms(o), sending = get_u64(o + SENDING_MS)
    at[0], at[1], at[2] = o[STATUS], o[STATION] | (BEGUN if sending else 0), o[ERROR_CLASS]
    at += 3
    at += put_varint(at, attempt_of(o))
    at += put_varint(at, units if units < SMALL else SMALL)
    at += put_varint(at, _zigzag(happened - <uint64_t>made_ms(o)))
    if sending:
        at += put_varint(at, _zigzag(sending - happened))
    for index in range(PROVIDER, REASON + 1):
        text = text_at(o, index, &size)
        _require_utf8(text, size, index)
        size = _cut(text, size, REASON_MAX if index == REASON else WORD_MAX)
        at += put_varint(at, size)
        memcpy(at, text, size)
        at += size
    return at


cdef inline uint64_t _zigzag(uint64_t difference) noexcept:
    """Of a signed difference: small ones are small, whichever their sign."""
    return difference << 1 ^ (<uint64_t>0 - (difference >> 63))


cdef int _hex(unsigned char digit) noexcept:
    if 48 <= digit <= 57:
        return digit - 48
    digit |= 32
    return digit - 87 if 97 <= digit <= 102 else -1


cdef unsigned char *put_trace(unsigned char *at, const unsigned char *o) except NULL:
    cdef Py_ssize_t size
    cdef const unsigned char *text = text_at(o, TRACEPARENT, &size)
    cdef int i, high, low
    _require_utf8(text, size, TRACEPARENT)
    if size < 35:
        return put(at, NULL_LENGTH, 4)
    for i in range(16):
        high, low = _hex(text[3 + 2 * i]), _hex(text[4 + 2 * i])
        if high < 0 or low < 0:
            return put(at, NULL_LENGTH, 4)
        at[4 + i] = high << 4 | low
    return put(at, 16, 4) + 16
