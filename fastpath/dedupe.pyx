# cython: boundscheck=False, wraparound=False
"""The hash of a notification's content, and a bounded memory of marks in front of Redis.

The words are in the twin, fastpath/pure/dedupe.py. The hash reads `size` bytes from `data` and no more. The memory is one array
and a table of places in it: half of its cells are free, so that every search ends. What is written to it was measured before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp, memcpy

from fastpath.values import MARK_BYTES

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef uint64_t _C1 = 0x87C37B91114253D5
cdef uint64_t _C2 = 0x4CF5AD432745937F
cdef long long _NEVER_MS = -(1 << 63)

cdef enum:
    ON_STACK = 1024  # bytes of content hashed without an allocation

cdef uint32_t _SEED = <uint32_t>hash("seed")  # another one in each process: who chooses content must not choose cells


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


if MARK_BYTES != ROOM:
    raise ImportError("fastpath.dedupe was built for another MARK_BYTES; build it again")


@cython.final
cdef class LocalFilter:

    def __cinit__(self, Py_ssize_t capacity):
        cdef Py_ssize_t cells = 2
        if capacity < 1:
            raise ValueError("a filter holds at least one mark")
        if capacity > 1 << 30:
            raise MemoryError
        while cells < 2 * capacity:
            cells *= 2
        self._capacity, self._mask = capacity, <uint32_t>(cells - 1)
        self._kept = <Kept *>PyMem_Calloc(capacity, sizeof(Kept))
        self._cells = <uint64_t *>PyMem_Calloc(cells, sizeof(uint64_t))
        if self._kept is NULL or self._cells is NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._kept)
        PyMem_Free(self._cells)

    def get(self, bytes mark not None, long long now_ms):
        cdef Py_ssize_t size
        cdef const unsigned char *value = self.find(<const unsigned char *>PyBytes_AS_STRING(mark), len(mark), now_ms, &size)
        return PyBytes_FromStringAndSize(<const char *>value, size) if value is not NULL else None

    def put(self, bytes mark not None, bytes value not None, long long expires_ms):
        cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(value)
        self.keep(<const unsigned char *>PyBytes_AS_STRING(mark), len(mark), text, len(value), expires_ms)

    def __len__(self):
        return self._count

    cdef const unsigned char *find(self, const unsigned char *mark, Py_ssize_t size, long long now_ms, Py_ssize_t *found) noexcept:
        cdef Kept *kept = self._look(_folded(mark, size), mark, size)
        if kept is NULL or kept.expires_ms <= now_ms:
            return NULL
        found[0] = kept.value_size
        return kept.text + kept.mark_size

    cdef void keep(
        self, const unsigned char *mark, Py_ssize_t size, const unsigned char *value, Py_ssize_t value_size, long long expires_ms
    ) noexcept:
        cdef uint32_t hash = _folded(mark, size)
        cdef Kept *kept = self._look(hash, mark, size)
        if size > ROOM or value_size > ROOM - size:
            if kept is not NULL:
                kept.expires_ms = _NEVER_MS
            return
        if kept is NULL:
            kept = self._new(hash)
            kept.mark_size = <unsigned char>size
            memcpy(kept.text, mark, size)
        memcpy(kept.text + size, value, value_size)
        kept.value_size = <unsigned char>value_size
        kept.expires_ms = expires_ms

    cdef Kept *_look(self, uint32_t hash, const unsigned char *mark, Py_ssize_t size) noexcept:
        """What stands under the mark, NULL if nothing does."""
        cdef uint32_t at = hash & self._mask
        cdef Kept *kept
        while self._cells[at]:
            if self._cells[at] >> 32 == hash:
                kept = self._kept + (<uint32_t>self._cells[at] - 1)
                if kept.mark_size == size and memcmp(kept.text, mark, size) == 0:
                    return kept
            at = (at + 1) & self._mask
        return NULL

    cdef Kept *_new(self, uint32_t hash) noexcept:
        """Room for a mark that is not there; that of the oldest if all is taken."""
        cdef Py_ssize_t number = self._count
        cdef uint32_t at = hash & self._mask
        if self._count == self._capacity:
            number = self._oldest
            self._oldest = (self._oldest + 1) % self._capacity
            self._forget(number)
        else:
            self._count += 1
        while self._cells[at]:
            at = (at + 1) & self._mask
        self._cells[at] = <uint64_t>hash << 32 | <uint64_t>(number + 1)
        self._kept[number].hash = hash
        return self._kept + number

    cdef void _forget(self, Py_ssize_t number) noexcept:
        """Frees the cell of a place, and draws those behind it that looked past it nearer to where they are looked for."""
        cdef uint32_t hole = self._kept[number].hash & self._mask, at
        while <uint32_t>self._cells[hole] != <uint32_t>(number + 1):
            hole = (hole + 1) & self._mask
        at = (hole + 1) & self._mask
        while self._cells[at]:
            if ((at - <uint32_t>(self._cells[at] >> 32)) & self._mask) >= ((at - hole) & self._mask):
                self._cells[hole] = self._cells[at]
                hole = at
            at = (at + 1) & self._mask
        self._cells[hole] = 0


cdef inline uint32_t _folded(const unsigned char *mark, Py_ssize_t size) noexcept:
    cdef unsigned char[16] out
    murmur3_x64_128(mark, size, _SEED, out)
    return out[0] | <uint32_t>out[1] << 8 | <uint32_t>out[2] << 16 | <uint32_t>out[3] << 24


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
