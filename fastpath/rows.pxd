# Declares fastpath/rows.pyx.

from libc.stdint cimport int16_t, uint32_t


# One outcome of the batch: borrowed from its frame, chained to the next one of the same delivery.
cdef struct Told:
    const unsigned char *start
    Py_ssize_t next  # -1: the last one


cdef struct Group:
    Py_ssize_t head
    Py_ssize_t tail


# A batch in hand. `slots` is a hash table of open addressing: group + 1, 0 for a free slot.
cdef struct Batch:
    Told *told
    Group *groups
    Py_ssize_t *slots
    Py_ssize_t count
    Py_ssize_t groups_count
    Py_ssize_t mask


cdef class RowPacker:
    cdef int16_t _ranks[256]  # -1: there is no such status
    cdef bint _waits[256]
    cdef bint _own[256]
    cdef bint _stations[256]
    cdef bint _channels[256]
    cdef int _check(self, const unsigned char *o) except -1
    cdef int _group(self, Batch *batch, list frames) except -1
    cdef tuple _write(self, Batch *batch, written, uint32_t run)
    cdef Py_ssize_t _last(self, Batch *batch, Py_ssize_t head) noexcept
    cdef (int, int) _place(self, const unsigned char *o, int latest) noexcept
    cdef int _reach(self, const unsigned char *o) noexcept
