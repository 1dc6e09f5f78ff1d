# cython: wraparound=False
"""The marks that a batch's notifications lay claim to: made, looked for in the filter, packed for Redis, answered. No I/O.

The words are in the twin, fastpath/pure/claims.py. Commands are measured first and then written into one allocation from
strings that cannot change in between.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from fastpath.dedupe cimport FIELDS, LocalFilter, hash_fields
from fastpath.records cimport ID_OFFSET, ID_WIDTH, KIND, Record, get_u32, put_u32, text_of
from fastpath.resp cimport _digits, _put_length
from fastpath.slots cimport *

from fastpath.errors import FrameError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    str PyUnicode_FromStringAndSize(const char *text, Py_ssize_t size)

cdef const char *_HEX = "0123456789abcdef"
cdef bytes _HEAD = b"*7\r\n$3\r\nSET\r\n"
cdef bytes _TAIL = b"$2\r\nNX\r\n$3\r\nGET\r\n$2\r\nEX\r\n"


@cython.final
@cython.internal
@cython.freelist(256)
cdef class Ask:
    pass


@cython.final
cdef class Claims:

    def __init__(self, LocalFilter seen not None, long long key_ttl_s, long long now_ms):
        self._seen, self._key_ttl_s, self._now_ms = seen, key_ttl_s, now_ms
        self._asks = []
        self._strange = []

    def ask(self, str entry_id not None, list records not None, list plans not None):
        cdef Py_ssize_t index
        cdef Record record
        if len(records) != len(plans):
            raise ValueError("a plan, or None, for each notification")
        for index in range(len(records)):
            record = <Record?>records[index]
            plan = plans[index]
            if record._start is NULL or record._start[KIND] != NOTIFICATION:
                raise TypeError("notifications lay claims")
            mark = _key_mark(record)
            if mark is not None:
                self._ask(mark, f"{entry_id}:{index}", index, self._key_ttl_s, False)
            if plan is not None and item(plan, PLAN_LETTERS) and get_u32(record._start + EXTRA):
                mark = _content_mark(record, item(plan, PLAN_VERSION))
                self._ask(mark, _hex(record._start + ID_OFFSET), index, get_u32(record._start + EXTRA), True)
        self._entries += 1

    def strange(self):
        self._strange = [ask for ask in self._asks if (<Ask>ask).first is None]
        marks = [(<Ask>ask).mark for ask in self._strange]
        values = [(<Ask>ask).value for ask in self._strange]
        return marks, values, [(<Ask>ask).ttl_s for ask in self._strange]

    def settle(self, list replies not None):
        cdef Ask ask
        cdef Py_ssize_t index
        if len(replies) != len(self._strange):
            raise ValueError("a reply for each mark that was asked for")
        for index in range(len(replies)):
            ask = <Ask>self._strange[index]
            reply = replies[index]
            if reply is None:
                ask.first = ask.value
                self._seen.keep(ask.mark, ask.value, self._now_ms + ask.ttl_s * 1000)
            else:
                ask.first = (<bytes?>reply).decode()
        return [(ask.entry, ask.index, ask.content, ask.first) for ask in self._asks if ask.first != ask.value]

    cdef int _ask(self, str mark, str value, Py_ssize_t index, long long ttl_s, bint content) except -1:
        cdef Ask ask = Ask.__new__(Ask)
        ask.mark, ask.value, ask.ttl_s, ask.content, ask.entry, ask.index = mark, value, ttl_s, content, self._entries, index
        ask.first = self._seen.find(mark, self._now_ms)
        self._asks.append(ask)
        return 0


def pack_claims(str prefix not None, list marks not None, list values not None, list ttls not None):
    cdef Py_ssize_t start_size, index, total = 0, size, value_size
    cdef const char *start = PyUnicode_AsUTF8AndSize(prefix, &start_size)
    if not len(marks) == len(values) == len(ttls):
        raise ValueError("a value and a time to live for each mark")
    for index in range(len(marks)):
        PyUnicode_AsUTF8AndSize(<str?>marks[index], &size)
        PyUnicode_AsUTF8AndSize(<str?>values[index], &value_size)
        if not 0 < <long long>ttls[index] <= 0xFFFFFFFF:
            raise ValueError("a time to live is a positive u32")
        total += PyBytes_GET_SIZE(_HEAD) + PyBytes_GET_SIZE(_TAIL) + _bulk(start_size + size) + _bulk(value_size)
        total += _bulk(_digits(ttls[index]))
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, total)
    cdef char *at = PyBytes_AS_STRING(packed)
    cdef const char *text
    for index in range(len(marks)):
        at = _put(at, PyBytes_AS_STRING(_HEAD), PyBytes_GET_SIZE(_HEAD))
        text = PyUnicode_AsUTF8AndSize(marks[index], &size)
        at = _put_length(at, b"$", start_size + size)
        at = _put(_put(_put(at, start, start_size), text, size), b"\r\n", 2)
        text = PyUnicode_AsUTF8AndSize(values[index], &size)
        at = _put(_put(_put_length(at, b"$", size), text, size), b"\r\n", 2)
        at = _put(at, PyBytes_AS_STRING(_TAIL), PyBytes_GET_SIZE(_TAIL))
        at = _put_length(at, b"$", _digits(ttls[index]))
        at = _put_length(at - 1, b"\n", ttls[index])  # the mark it begins with is the end of the line before
    return packed


cdef inline char *_put(char *at, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(at, text, size)
    return at + size


cdef inline Py_ssize_t _bulk(Py_ssize_t size) noexcept nogil:
    """How many bytes a bulk string of that size takes."""
    return 5 + _digits(size) + size


cdef str _key_mark(Record record):
    """The mark of an idempotency key, None without one."""
    cdef Py_ssize_t size
    cdef const char *text = text_of(record, N_MARK, &size)
    if not size:
        return None
    try:
        return "i" + PyUnicode_DecodeUTF8(text, size, NULL)
    except UnicodeDecodeError as error:
        raise FrameError("mark is not UTF-8") from error


cdef str _content_mark(Record record, uint32_t version):
    """The mark of a notification's content."""
    cdef const char *field[FIELDS]
    cdef Py_ssize_t size[FIELDS]
    cdef unsigned char[4] version_bytes
    cdef unsigned char[16] digest
    cdef char[33] mark
    cdef int index
    for index in (N_RECIPIENT, N_EMAIL, N_PHONE, N_DEVICES):
        field[0] = text_of(record, index, &size[0])
        if size[0]:
            break
    field[1] = text_of(record, N_TYPE, &size[1])
    field[2] = text_of(record, N_TEMPLATE, &size[2])
    put_u32(version_bytes, version)
    field[3], size[3] = <const char *>version_bytes, 4
    field[4] = text_of(record, N_DATA, &size[4])
    hash_fields(field, size, digest)
    mark[0] = b"c"
    _put_hex(mark + 1, digest)
    return PyUnicode_FromStringAndSize(mark, 33)


cdef str _hex(const unsigned char *id):
    cdef char[2 * ID_WIDTH] text
    _put_hex(text, id)
    return PyUnicode_FromStringAndSize(text, 2 * ID_WIDTH)


cdef void _put_hex(char *at, const unsigned char *sixteen) noexcept:
    cdef int index
    for index in range(16):
        at[2 * index], at[2 * index + 1] = _HEX[sixteen[index] >> 4], _HEX[sixteen[index] & 15]
