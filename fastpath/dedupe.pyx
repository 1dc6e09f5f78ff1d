# cython: boundscheck=False, wraparound=False
"""The hash of a notification's content, and a bounded memory of marks in front of Redis.

The words are in the twin, fastpath/pure/dedupe.py. The hash reads `size` bytes from `data` and no more.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef uint64_t _C1 = 0x87C37B91114253D5
cdef uint64_t _C2 = 0x4CF5AD432745937F

cdef enum:
    ON_STACK = 1024  # bytes of content hashed without an allocation


def content_hash(bytes recipient not None, str type not None, str template not None, long long version, bytes data not None):
    if not 0 <= version <= 0xFFFFFFFF:
        raise ValueError("version does not fit 4 bytes")
    cdef unsigned char[4] version_bytes
    cdef const char *field[FIELDS]
    cdef Py_ssize_t size[FIELDS]
    _put_u32(version_bytes, <uint32_t>version)
    field[0], size[0] = PyBytes_AS_STRING(recipient), PyBytes_GET_SIZE(recipient)
    field[1] = PyUnicode_AsUTF8AndSize(type, &size[1])
    field[2] = PyUnicode_AsUTF8AndSize(template, &size[2])
    field[3], size[3] = <const char *>version_bytes, 4
    field[4], size[4] = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
    cdef unsigned char[16] out
    hash_fields(field, size, out)
    return PyBytes_FromStringAndSize(<const char *>out, 16)


def murmur3(bytes data not None, uint32_t seed=0):
    cdef unsigned char[16] out
    murmur3_x64_128(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seed, out)
    return PyBytes_FromStringAndSize(<const char *>out, 16)


@cython.final
@cython.freelist(64)
cdef class Seen:
    pass


@cython.final
cdef class LocalFilter:

    def __init__(self, Py_ssize_t capacity):
        if capacity < 1:
            raise ValueError("a filter holds at least one mark")
        self._capacity = capacity
        self._seen = {}
        self._order = []
        self._oldest = 0

    def get(self, str mark not None, long long now_ms):
        return self.find(mark, now_ms)

    def put(self, str mark not None, str value not None, long long expires_ms):
        self.keep(mark, value, expires_ms)

    def __len__(self):
        return len(self._seen)

    cdef str find(self, str mark, long long now_ms):
        cdef PyObject *found = PyDict_GetItem(self._seen, mark)
        if found is NULL or (<Seen>found).expires_ms <= now_ms:
            return None
        return (<Seen>found).value

    cdef int keep(self, str mark, str value, long long expires_ms) except -1:
        cdef PyObject *found = PyDict_GetItem(self._seen, mark)
        cdef Seen seen
        if found is not NULL:
            seen = <Seen>found
        else:
            seen = Seen.__new__(Seen)
            self._make_room(mark)
            self._seen[mark] = seen
        seen.value = value
        seen.expires_ms = expires_ms
        return 0

    cdef int _make_room(self, str mark) except -1:
        if len(self._order) < self._capacity:
            self._order.append(mark)
            return 0
        del self._seen[self._order[self._oldest]]
        self._order[self._oldest] = mark
        self._oldest = (self._oldest + 1) % self._capacity
        return 0


cdef int hash_fields(const char **field, Py_ssize_t *size, unsigned char *out) except -1:
    """Hash the fields, each after its length as a u32."""
    cdef unsigned char[ON_STACK] stack
    cdef Py_ssize_t total = 4 * FIELDS
    cdef int index
    for index in range(FIELDS):
        total += size[index]
    cdef unsigned char *buffer = stack
    if total > ON_STACK:
        buffer = <unsigned char *>PyMem_Malloc(total)
        if buffer is NULL:
            raise MemoryError
    cdef unsigned char *at = buffer
    for index in range(FIELDS):
        _put_u32(at, <uint32_t>size[index])
        memcpy(at + 4, field[index], size[index])
        at += 4 + size[index]
    murmur3_x64_128(buffer, total, 0, out)
    if total > ON_STACK:
        PyMem_Free(buffer)
    return 0


cdef inline void _put_u32(unsigned char *at, uint32_t value) noexcept nogil:
    at[0], at[1], at[2], at[3] = value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24


cdef inline uint64_t _lane(const unsigned char *at) noexcept nogil:
    """Eight bytes, little endian; written out so that compilers see one load."""
    return (
        at[0] | <uint64_t>at[1] << 8 | <uint64_t>at[2] << 16 | <uint64_t>at[3] << 24
        | <uint64_t>at[4] << 32 | <uint64_t>at[5] << 40 | <uint64_t>at[6] << 48 | <uint64_t>at[7] << 56
    )


cdef inline uint64_t _tail(const unsigned char *at, size_t size) noexcept nogil:
    """Up to eight bytes, little endian."""
    cdef uint64_t value = 0
    cdef size_t index
    for index in range(size):
        value |= <uint64_t>at[index] << (8 * index)
    return value


cdef inline uint64_t _rotate(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef inline uint64_t _mix(uint64_t lane, uint64_t first, int bits, uint64_t second) noexcept nogil:
    return _rotate(lane * first, bits) * second


cdef inline uint64_t _finish(uint64_t value) noexcept nogil:
    value = (value ^ value >> 33) * <uint64_t>0xFF51AFD7ED558CCD
    value = (value ^ value >> 33) * <uint64_t>0xC4CEB9FE1A85EC53
    return value ^ value >> 33


cdef void murmur3_x64_128(const unsigned char *data, size_t size, uint32_t seed, unsigned char *out) noexcept nogil:
    cdef uint64_t h1 = seed, h2 = seed
    cdef size_t at = 0, rest = size & 15
    cdef int index
    while at + 16 <= size:
        h1 = (_rotate(h1 ^ _mix(_lane(data + at), _C1, 31, _C2), 27) + h2) * 5 + 0x52DCE729
        h2 = (_rotate(h2 ^ _mix(_lane(data + at + 8), _C2, 33, _C1), 31) + h1) * 5 + 0x38495AB5
        at += 16
    if rest > 8:
        h2 ^= _mix(_tail(data + at + 8, rest - 8), _C2, 33, _C1)
    h1 ^= _mix(_tail(data + at, rest if rest < 8 else 8), _C1, 31, _C2)
    h1 ^= size
    h2 ^= size
    h1 += h2
    h2 += h1
    h1, h2 = _finish(h1), _finish(h2)
    h1 += h2
    h2 += h1
    for index in range(8):
        out[index] = h1 >> (8 * index) & 255
        out[8 + index] = h2 >> (8 * index) & 255
