# cython: boundscheck=False, wraparound=False
"""A serialized google.protobuf.Struct as plain values. The words are in the twin, fastpath/pure/structs.py.

Every length is checked against the end of its message before it is read.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport floor, isfinite
from libc.string cimport memchr, memcpy

cdef enum:
    DEPTH = 16
    FIXED64_2 = 17  # tags: field number << 3 | wire type
    VARINT_1 = 8
    VARINT_4 = 32
    BYTES_1 = 10
    BYTES_2 = 18
    BYTES_3 = 26
    BYTES_5 = 42
    BYTES_6 = 50

cdef double EXACT = 9007199254740992.0  # 2**53


cdef class _Strange(Exception):
    """Something that needs a closer look."""


def read_struct(bytes wire not None):
    cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(wire)
    try:
        return _object(start, start + PyBytes_GET_SIZE(wire), 1)
    except (_Strange, UnicodeDecodeError):
        return None


cdef dict _object(const unsigned char *at, const unsigned char *end, int depth):
    cdef const unsigned char *entry_end
    cdef const unsigned char *key
    cdef Py_ssize_t size
    cdef dict values = {}
    if depth > DEPTH:
        raise _Strange
    while at < end:
        entry_end = _message(&at, end, BYTES_1)
        key = at
        at = _message(&key, entry_end, BYTES_1)  # the value follows the key
        size = at - key
        name = _text(key, size)
        key = at
        at = _message(&key, entry_end, BYTES_2)
        if at != entry_end:
            raise _Strange
        values[name] = _value(key, entry_end, depth)
    return values


cdef list _items(const unsigned char *at, const unsigned char *end, int depth):
    cdef const unsigned char *item_end
    cdef list values = []
    if depth > DEPTH:
        raise _Strange
    while at < end:
        item_end = _message(&at, end, BYTES_1)
        values.append(_value(at, item_end, depth))
        at = item_end
    return values


cdef object _value(const unsigned char *at, const unsigned char *end, int depth):
    """The one field of a Value, which is all of it."""
    cdef const unsigned char *inner
    cdef double number
    if end - at < 2:
        raise _Strange
    cdef int tag = at[0]
    if tag == FIXED64_2:
        if end - at != 9:
            raise _Strange
        memcpy(&number, at + 1, 8)  # both are little-endian
        if not isfinite(number):
            raise _Strange
        if number == floor(number) and -EXACT <= number <= EXACT:
            return <long long>number
        return number
    if tag == VARINT_1 or tag == VARINT_4:
        if end - at != 2 or at[1] > 1:
            raise _Strange
        return None if tag == VARINT_1 else at[1] == 1
    inner = at
    if _message(&inner, end, tag) != end:
        raise _Strange
    if tag == BYTES_3:
        return _text(inner, end - inner)
    if tag == BYTES_5:
        return _object(inner, end, depth + 1)
    if tag == BYTES_6:
        return _items(inner, end, depth + 1)
    raise _Strange


cdef str _text(const unsigned char *at, Py_ssize_t size):
    if memchr(at, 0, size) is not NULL:
        raise _Strange
    return PyUnicode_DecodeUTF8(<const char *>at, size, NULL)


cdef const unsigned char *_message(const unsigned char **at, const unsigned char *end, int tag) except NULL:
    """Steps over the tag, which must be this one, and the length; returns where what is so long ends."""
    cdef const unsigned char *here = at[0]
    cdef Py_ssize_t size = 0
    cdef int shift = 0
    if here >= end or here[0] != tag:
        raise _Strange
    here += 1
    while True:
        if here >= end or shift > 28:
            raise _Strange
        size |= <Py_ssize_t>(here[0] & 127) << shift
        shift += 7
        if here[0] < 128:
            break
        here += 1
    here += 1
    if size > end - here:
        raise _Strange
    at[0] = here
    return here + size
