# cython: boundscheck=False, wraparound=False
"""A serialized google.protobuf.Struct as canonical JSON, without a Python object on the way.

The words are in the twin, fastpath/pure/canonical.py. Every length is checked against the end of its message before it is
read, and every write against the end of the buffer. 1 stands for "written", 0 for "needs a closer look".
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.math cimport floor, isfinite
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy

from fastpath.wire cimport is_utf8, read_size

import orjson

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    JSON_BYTES = 65536
    WIRE_BYTES = 1048576
    DEPTH = 16
    FIRST_ENTRIES = 64
    FEW = 12  # entries that are sorted in place
    FIXED64_2 = 17  # tags: field number << 3 | wire type
    VARINT_1 = 8
    VARINT_4 = 32
    BYTES_1 = 10
    BYTES_2 = 18
    BYTES_3 = 26
    BYTES_5 = 42
    BYTES_6 = 50

cdef double EXACT = 9007199254740992.0  # 2**53
cdef object _dumps = orjson.dumps
cdef const char *_HEX = "0123456789abcdef"

# What a byte of a text is: 0 itself, 1 the end of what may stand (NUL), 2 of more than ASCII, else the letter behind a backslash
# ("u" for those that have none of their own).
cdef unsigned char[256] _ESCAPES
for _byte in range(256):
    _ESCAPES[_byte] = 2 if _byte >= 128 else 0 if _byte >= 32 else b"u"[0]
_ESCAPES[0] = 1
for _byte, _letter in zip(b'"\\\b\t\n\f\r', b'"\\btnfr'):
    _ESCAPES[_byte] = _letter


@cython.final
cdef class Canonical:

    def __cinit__(self):
        self._room = FIRST_ENTRIES
        self.json = <unsigned char *>PyMem_Malloc(JSON_BYTES)
        self._entries = <Entry *>PyMem_Malloc(self._room * sizeof(Entry))
        if self.json is NULL or self._entries is NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.json)
        PyMem_Free(self._entries)

    def write(self, bytes wire not None, frozenset required=None):
        cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(wire)
        if not self.put(start, start + PyBytes_GET_SIZE(wire), required):
            return None
        return PyBytes_FromStringAndSize(<const char *>self.json, self.size)

    cdef int put(self, const unsigned char *at, const unsigned char *end, frozenset required) except -1:
        self.size = self._used = 0
        if end - at > WIRE_BYTES:
            return 0
        return self._object(at, end, 1, required)

    cdef int _object(self, const unsigned char *at, const unsigned char *end, int depth, frozenset required) except -1:
        cdef Py_ssize_t first = self._used, index
        cdef Entry *entry
        if depth > DEPTH or not self._collect(at, end):
            return 0
        cdef Py_ssize_t last = self._used
        if not _sort(self._entries + first, last - first):
            return 0
        if required is not None and required and not _has(self._entries + first, last - first, required):
            return 0
        if not self._raw("{", 1):
            return 0
        for index in range(first, last):
            if index > first and not self._raw(",", 1):
                return 0
            entry = self._entries + index
            if not self._text(entry.key, entry.key_size) or not self._raw(":", 1):
                return 0
            if not self._value(entry.value, entry.end, depth):  # may move the entries
                return 0
        self._used = first
        return self._raw("}", 1)

    cdef int _collect(self, const unsigned char *at, const unsigned char *end) except -1:
        """Notes where the keys and values of an object are."""
        cdef const unsigned char *entry_end
        cdef const unsigned char *key_end
        cdef Entry *entry
        cdef void *moved
        while at < end:
            if at[0] != BYTES_1:
                return 0
            at += 1
            entry_end = read_size(&at, end)
            if entry_end is NULL or at >= entry_end or at[0] != BYTES_1:
                return 0
            if self._used == self._room:
                moved = PyMem_Realloc(self._entries, 2 * self._room * sizeof(Entry))
                if moved is NULL:
                    raise MemoryError
                self._entries = <Entry *>moved
                self._room *= 2
            entry = self._entries + self._used
            at += 1
            key_end = read_size(&at, entry_end)
            if key_end is NULL or key_end >= entry_end or key_end[0] != BYTES_2:
                return 0
            entry.key, entry.key_size = at, key_end - at
            at = key_end + 1
            entry.end = read_size(&at, entry_end)
            if entry.end is not entry_end:
                return 0
            entry.value = at
            self._used += 1
            at = entry_end
        return 1

    cdef int _list(self, const unsigned char *at, const unsigned char *end, int depth) except -1:
        cdef const unsigned char *item_end
        cdef bint more = False
        if depth > DEPTH or not self._raw("[", 1):
            return 0
        while at < end:
            if at[0] != BYTES_1 or (more and not self._raw(",", 1)):
                return 0
            at += 1
            item_end = read_size(&at, end)
            if item_end is NULL or not self._value(at, item_end, depth):
                return 0
            at = item_end
            more = True
        return self._raw("]", 1)

    cdef int _value(self, const unsigned char *at, const unsigned char *end, int depth) except -1:
        """The one field of a Value, which is all of it."""
        if end - at < 2:
            return 0
        cdef int tag = at[0]
        at += 1
        if tag == FIXED64_2:
            return end - at == 8 and self._number(at)
        if tag == VARINT_1 or tag == VARINT_4:
            if end - at != 1 or at[0] > 1:
                return 0
            if tag == VARINT_1:
                return self._raw("null", 4)
            return self._raw("true", 4) if at[0] else self._raw("false", 5)
        if tag != BYTES_3 and tag != BYTES_5 and tag != BYTES_6:
            return 0
        if read_size(&at, end) is not end:
            return 0
        if tag == BYTES_3:
            return self._text(at, end - at)
        if tag == BYTES_5:
            return self._object(at, end, depth + 1, None)
        return self._list(at, end, depth + 1)

    cdef int _number(self, const unsigned char *at) except -1:
        cdef double number
        cdef char[24] digits
        cdef int here = 24
        cdef unsigned long long left
        memcpy(&number, at, 8)  # both are little-endian
        if not isfinite(number):
            return 0
        if number != floor(number) or not -EXACT <= number <= EXACT:
            written = _dumps(number)
            return self._raw(PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))
        left = <unsigned long long>(-number if number < 0 else number)
        while True:
            here -= 1
            digits[here] = 48 + left % 10
            left //= 10
            if left == 0:
                break
        if number < 0:
            here -= 1
            digits[here] = 45
        return self._raw(digits + here, 24 - here)

    cdef int _text(self, const unsigned char *at, Py_ssize_t size) noexcept:
        cdef const unsigned char *end = at + size
        cdef const unsigned char *run = at
        cdef unsigned char escape
        cdef char[6] written
        cdef bint ascii = True
        if not self._raw('"', 1):
            return 0
        while at < end:
            escape = _ESCAPES[at[0]]
            if escape == 0:
                at += 1
            elif escape == 1:
                return 0
            elif escape == 2:
                ascii = False
                at += 1
            else:
                written[0], written[1] = 92, escape
                written[2], written[3], written[4], written[5] = 48, 48, _HEX[at[0] >> 4], _HEX[at[0] & 15]
                if not self._raw(<const char *>run, at - run) or not self._raw(written, 6 if escape == 117 else 2):
                    return 0
                at += 1
                run = at
        if not ascii and not is_utf8(end - size, size):
            return 0
        return self._raw(<const char *>run, end - run) and self._raw('"', 1)

    cdef int _raw(self, const char *text, Py_ssize_t size) noexcept:
        if size > JSON_BYTES - self.size:
            return 0
        memcpy(self.json + self.size, text, size)
        self.size += size
        return 1


cdef inline int _order(const Entry *one, const Entry *other) noexcept nogil:
    """As orjson and Python order them: by code point, which is by the bytes of UTF-8."""
    cdef Py_ssize_t size = one.key_size if one.key_size < other.key_size else other.key_size
    cdef int found = memcmp(one.key, other.key, size)
    if found:
        return found
    return (one.key_size > other.key_size) - (one.key_size < other.key_size)


cdef int _compare(const void *one, const void *other) noexcept nogil:
    return _order(<const Entry *>one, <const Entry *>other)


cdef bint _sort(Entry *entries, Py_ssize_t count) noexcept nogil:
    """Sorts by key; False if one stands twice."""
    cdef Py_ssize_t index, place
    cdef Entry moving
    if count > FEW:
        qsort(entries, count, sizeof(Entry), &_compare)
    else:
        for index in range(1, count):
            moving, place = entries[index], index
            while place > 0 and _order(&entries[place - 1], &moving) > 0:
                entries[place] = entries[place - 1]
                place -= 1
            entries[place] = moving
    for index in range(1, count):
        if _order(&entries[index - 1], &entries[index]) == 0:
            return False
    return True


cdef bint _has(const Entry *entries, Py_ssize_t count, frozenset required) except -1:
    """Whether all names are among the sorted entries, none of them null."""
    cdef Entry wanted
    cdef Py_ssize_t low, high, middle
    cdef int order
    for name in required:
        wanted.key = <const unsigned char *>PyUnicode_AsUTF8AndSize(name, &wanted.key_size)
        low, high = 0, count
        while True:
            if low == high:
                return False
            middle = (low + high) // 2
            order = _order(&wanted, &entries[middle])
            if order == 0:
                break
            if order < 0:
                high = middle
            else:
                low = middle + 1
        if entries[middle].value < entries[middle].end and entries[middle].value[0] == VARINT_1:
            return False
    return True
