# Declares fastpath/dedupe.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef void murmur3_x64_128(const unsigned char *data, size_t size, uint32_t seed, unsigned char *out) noexcept nogil

cdef enum:
    FIELDS = 5  # of content that is hashed: recipient, type, template, version (u32), data

cdef int hash_fields(const char **field, Py_ssize_t *size, unsigned char *out) except -1  # 16 bytes


cdef enum:
    ROOM = 50  # bytes for a mark and its value, see values.MARK_BYTES


cdef struct Kept:  # what stands under a mark: one line of a CPU's cache
    long long expires_ms
    uint32_t hash
    unsigned char mark_size
    unsigned char value_size
    unsigned char text[ROOM]  # the mark, then the value


cdef class LocalFilter:
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _count
    cdef Py_ssize_t _oldest
    cdef Kept *_kept  # in the order they came; a ring once it is full
    cdef uint64_t *_cells  # hash table with open addresses: the hash, and the place in _kept counted from 1; 0 is free
    cdef uint32_t _mask  # of a cell's number

    cdef const unsigned char *find(self, const unsigned char *mark, Py_ssize_t size, long long now_ms, Py_ssize_t *found) noexcept
    cdef void keep(
        self, const unsigned char *mark, Py_ssize_t size, const unsigned char *value, Py_ssize_t value_size, long long expires_ms
    ) noexcept
    cdef Kept *_look(self, uint32_t hash, const unsigned char *mark, Py_ssize_t size) noexcept
    cdef Kept *_new(self, uint32_t hash) noexcept
    cdef void _forget(self, Py_ssize_t number) noexcept
