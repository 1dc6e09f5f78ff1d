# cython: boundscheck=False, wraparound=False
"""What a station forwards: deliveries and the outcomes that open them, written from notifications straight into frames. No I/O.

The words are in the twin, fastpath/pure/forward.py. Strings are copied from the notification as it came; they were checked to
lie inside of it when the view was made, and are checked to be UTF-8 here. A Sheet grows in make_room() and nowhere else.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from fastpath.records cimport (
    ACCEPTED_MS, FRAME_HEADER, ID_OFFSET, ID_WIDTH, KIND, Draft, Record, begin, encode_at, encoded_size, put_u32, put_u64, text_of,
)
from fastpath.slots cimport *

from fastpath import layout
from fastpath.errors import FrameError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

_SLOTS = {
    "priority": PRIORITY, "klass": KLASS, "channel": CHANNEL, "status": STATUS, "station": STATION, "platform": PLATFORM,
    "device": DEVICE, "flags": FLAGS, "version": TEMPLATE_VERSION, "extra": EXTRA, "at_ms": AT_MS, "expires_ms": EXPIRES_MS,
    "queued_ms": QUEUED_MS,
}
_STRINGS = {
    NOTIFICATION: {
        "type": N_TYPE, "recipient_id": N_RECIPIENT, "email": N_EMAIL, "phone": N_PHONE, "devices": N_DEVICES,
        "language": N_LANGUAGE, "template": N_TEMPLATE, "data": N_DATA, "source": N_SOURCE, "traceparent": N_TRACEPARENT,
        "mark": N_MARK,
    },
    DELIVERY: {
        "type": D_TYPE, "recipient_id": D_RECIPIENT, "address": D_ADDRESS, "language": D_LANGUAGE, "template": D_TEMPLATE,
        "content": D_CONTENT, "source": D_SOURCE, "traceparent": D_TRACEPARENT,
    },
    OUTCOME: {
        "type": O_TYPE, "recipient_id": O_RECIPIENT, "template": O_TEMPLATE, "language": O_LANGUAGE, "source": O_SOURCE,
        "traceparent": O_TRACEPARENT, "code": O_CODE, "reason": O_REASON, "verdicts": O_VERDICTS,
    },
}
if any(layout.SLOTS[name][0] != at for name, at in _SLOTS.items()) or any(
    layout.STRINGS[kind][index] != name for kind, names in _STRINGS.items() for name, index in names.items()
):
    raise ImportError("fastpath.forward was built for another layout; build it again")

cdef bytes _MAGIC = layout.MAGIC + bytes((layout.VERSION,))
cdef int _FIRST = layout.FIRST
cdef tuple _COPIED = ("type", "recipient_id", "template", "source", "traceparent")  # in the order of _INDEX
cdef int[5] _INDEX
_INDEX[:] = [N_TYPE, N_RECIPIENT, N_TEMPLATE, N_SOURCE, N_TRACEPARENT]


@cython.final
@cython.internal
cdef class Sheet:

    def __cinit__(self, int kind, Py_ssize_t max_records, Py_ssize_t max_bytes):
        self.kind, self.max_records, self.max_bytes = kind, max_records, max_bytes
        self.frames = []

    def __dealloc__(self):
        PyMem_Free(self.out)

    cdef int write(self, Draft *draft) except -1:
        cdef Py_ssize_t size = encoded_size(draft)
        if self.count and (self.count == self.max_records or self.size - FRAME_HEADER + size > self.max_bytes):
            self.close()
        if not self.count:
            self.size = FRAME_HEADER
        self.make_room(size)
        encode_at(draft, self.out + self.size, size)
        self.size += size
        self.count += 1
        return 0

    cdef int close(self) except -1:
        """Ends the frame begun, if there is one."""
        if self.count:
            memcpy(self.out, PyBytes_AS_STRING(_MAGIC), 3)
            self.out[3] = self.kind
            put_u32(self.out + 4, self.count)
            self.frames.append(PyBytes_FromStringAndSize(<const char *>self.out, self.size))
            self.count = 0
        return 0

    cdef int make_room(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room
        if size > self.room - self.size:
            room = 2 * self.room + self.size + size + 4096
            grown = <unsigned char *>PyMem_Realloc(self.out, room)
            if grown is NULL:
                raise MemoryError
            self.out, self.room = grown, room
        return 0


@cython.final
cdef class Outgoing:

    def __init__(self, long long now_ms, *, int station, int queued, Py_ssize_t max_records, Py_ssize_t max_bytes):
        if not (0 <= station <= 255 and 0 <= queued <= 255 and max_records > 0):
            raise ValueError("a station and a status are 0 to 255, and a frame has at least one record")
        self._now_ms, self._station, self._queued = now_ms, station, queued
        self._max_records, self._max_bytes = max_records, max_bytes
        self._deliveries = {}
        self._outcomes = Sheet(OUTCOME, max_records, max_bytes)
        self._tally = {}

    def add(self, list sources not None, list plans not None, traceparents=None):
        cdef Py_ssize_t index
        if len(sources) != len(plans) or (traceparents is not None and len(traceparents) != len(sources)):
            raise ValueError("a plan for each notification, and a traceparent if there are any")
        for index in range(len(sources)):
            if plans[index] is not None:
                self._add(<Record?>sources[index], plans[index], None if traceparents is None else traceparents[index])

    def deliveries(self):
        found = []
        for key, sheet in self._deliveries.items():
            (<Sheet>sheet).close()
            found.append((key >> 8, key & 255, (<Sheet>sheet).frames))
        return found

    def outcomes(self):
        self._outcomes.close()
        return self._outcomes.frames

    def tally(self):
        return self._tally

    cdef int _add(self, Record source, object plan, object traceparent) except -1:
        if source._start is NULL or source._start[KIND] != NOTIFICATION:
            raise TypeError("notifications are forwarded")
        _check_texts(source)
        for letter in item(plan, PLAN_LETTERS):
            self._deliver(source, plan, letter, traceparent)
        for refusal in item(plan, PLAN_REFUSALS):
            self._refuse(source, plan, refusal)
        return 0

    cdef int _deliver(self, Record source, object plan, object letter, object traceparent) except -1:
        cdef Draft draft
        target = item(letter, LETTER_TARGET)
        cdef unsigned char channel = _fit(item(target, TARGET_CHANNEL), 255)
        cdef unsigned char platform = _fit(item(target, TARGET_PLATFORM), 255), device = _fit(item(target, TARGET_DEVICE), 255)
        _begin(&draft, DELIVERY, source, _fit(item(plan, PLAN_VERSION), 0xFFFFFFFF))
        draft.header[CHANNEL], draft.header[PLATFORM], draft.header[DEVICE] = channel, platform, device
        put_u64(draft.header + QUEUED_MS, self._now_ms)
        _copy(&draft, D_TYPE, source, N_TYPE)
        _copy(&draft, D_RECIPIENT, source, N_RECIPIENT)
        _copy(&draft, D_TEMPLATE, source, N_TEMPLATE)
        _copy(&draft, D_SOURCE, source, N_SOURCE)
        _put_text(&draft, D_ADDRESS, item(target, TARGET_ADDRESS))
        _put_text(&draft, D_LANGUAGE, item(letter, LETTER_LANGUAGE))
        _put_blob(&draft, D_CONTENT, item(letter, LETTER_CONTENT))
        if traceparent is None:
            _copy(&draft, D_TRACEPARENT, source, N_TRACEPARENT)
        else:
            _put_text(&draft, D_TRACEPARENT, traceparent)
        self._sheet(channel, source._start[PRIORITY]).write(&draft)
        self._open(&draft, source, plan, channel, self._queued)
        draft.header[PLATFORM], draft.header[DEVICE] = platform, device
        put_u64(draft.header + QUEUED_MS, self._now_ms)
        _put_text(&draft, O_LANGUAGE, item(letter, LETTER_LANGUAGE))
        _put_blob(&draft, O_VERDICTS, item(letter, LETTER_VERDICTS))
        self._outcomes.write(&draft)
        return self._count(source, channel, self._queued)

    cdef int _refuse(self, Record source, object plan, object refusal) except -1:
        cdef Draft draft
        cdef unsigned char channel = _fit(item(refusal, REFUSAL_CHANNEL), 255), status = _fit(item(refusal, REFUSAL_STATUS), 255)
        self._open(&draft, source, plan, channel, status)
        draft.header[DEVICE] = <unsigned char>_fit(item(refusal, REFUSAL_DEVICE), 255)
        _put_text(&draft, O_CODE, item(refusal, REFUSAL_RULE))
        _put_text(&draft, O_REASON, item(refusal, REFUSAL_REASON))
        _put_blob(&draft, O_VERDICTS, item(refusal, REFUSAL_VERDICTS))
        self._outcomes.write(&draft)
        return self._count(source, channel, status)

    cdef int _open(self, Draft *draft, Record source, object plan, int channel, int status) except -1:
        """Begins the outcome that opens a delivery or refuses it."""
        _begin(draft, OUTCOME, source, _fit(item(plan, PLAN_VERSION), 0xFFFFFFFF))
        draft.header[CHANNEL], draft.header[STATUS], draft.header[STATION] = channel, status, self._station
        draft.header[FLAGS] = _FIRST
        put_u64(draft.header + AT_MS, self._now_ms)
        _copy(draft, O_TYPE, source, N_TYPE)
        _copy(draft, O_RECIPIENT, source, N_RECIPIENT)
        _copy(draft, O_TEMPLATE, source, N_TEMPLATE)
        _copy(draft, O_SOURCE, source, N_SOURCE)
        _copy(draft, O_TRACEPARENT, source, N_TRACEPARENT)
        return 0

    cdef int _count(self, Record source, int channel, int status) except -1:
        cdef object key = channel << 16 | source._start[PRIORITY] << 8 | status
        cdef PyObject *found = PyDict_GetItem(self._tally, key)
        if found is NULL:
            self._tally[key] = [source]
        else:
            (<list>found).append(source)
        return 0

    cdef Sheet _sheet(self, int channel, int priority):
        cdef object key = channel << 8 | priority
        cdef PyObject *found = PyDict_GetItem(self._deliveries, key)
        if found is not NULL:
            return <Sheet>found
        sheet = self._deliveries[key] = Sheet(DELIVERY, self._max_records, self._max_bytes)
        return sheet


cdef int _begin(Draft *draft, int kind, Record source, uint32_t version) except -1:
    """A draft with what all records of a notification share."""
    begin(draft, kind)
    draft.header[PRIORITY], draft.header[KLASS] = source._start[PRIORITY], source._start[KLASS]
    memcpy(draft.header + ID_OFFSET, source._start + ID_OFFSET, ID_WIDTH)
    memcpy(draft.header + ACCEPTED_MS, source._start + ACCEPTED_MS, 8)
    memcpy(draft.header + EXPIRES_MS, source._start + EXPIRES_MS, 8)
    put_u32(draft.header + TEMPLATE_VERSION, version)
    return 0


cdef inline long long _fit(object number, long long most) except -1:
    cdef int overflow = 0
    cdef long long value = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow or not 0 <= value <= most:
        raise ValueError(f"{number} does not fit its slot")
    return value


cdef inline void _copy(Draft *draft, int to, Record source, int index) noexcept:
    draft.text[to] = text_of(source, index, &draft.size[to])


cdef inline int _put_text(Draft *draft, int to, object text) except -1:
    if not isinstance(text, str):
        raise TypeError("addresses, languages, codes and reasons are str")
    draft.text[to] = PyUnicode_AsUTF8AndSize(text, &draft.size[to])
    return 0


cdef inline int _put_blob(Draft *draft, int to, object blob) except -1:
    if not isinstance(blob, bytes):
        raise TypeError("content and verdicts are bytes")
    draft.text[to], draft.size[to] = PyBytes_AS_STRING(blob), PyBytes_GET_SIZE(blob)
    return 0


cdef int _check_texts(Record source) except -1:
    """Raises FrameError where a string that is copied is not UTF-8."""
    cdef Py_ssize_t size, at
    cdef const char *text
    cdef unsigned char all_bits
    cdef int index
    for index in range(5):
        text = text_of(source, _INDEX[index], &size)
        all_bits = 0
        for at in range(size):
            all_bits |= <unsigned char>text[at]
        if all_bits & 128:
            try:
                PyUnicode_DecodeUTF8(text, size, NULL)
            except UnicodeDecodeError as error:
                raise FrameError(f"{_COPIED[index]} is not UTF-8") from error
    return 0
