# Declares fastpath/dedupe.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef void murmur3_x64_128(const unsigned char *data, size_t size, uint32_t seed, unsigned char *out) noexcept nogil

cdef enum:
    FIELDS = 5  # of content that is hashed: recipient, type, template, version (u32), data

cdef int hash_fields(const char **field, Py_ssize_t *size, unsigned char *out) except -1  # 16 bytes


cdef class Seen:  # what stands under a mark
    cdef str value
    cdef long long expires_ms


cdef class LocalFilter:
    cdef Py_ssize_t _capacity
    cdef dict _seen  # mark -> Seen
    cdef list _order  # marks in the order they came; a ring once it is full
    cdef Py_ssize_t _oldest  # in _order

    cdef str find(self, str mark, long long now_ms)
    cdef int keep(self, str mark, str value, long long expires_ms) except -1
    cdef int _make_room(self, str mark) except -1
