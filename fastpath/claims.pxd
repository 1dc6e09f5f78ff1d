# Declares fastpath/claims.pyx.

from libc.stdint cimport uint32_t

from fastpath.dedupe cimport LocalFilter
from fastpath.records cimport Record

cdef enum:
    DIGEST = 16  # bytes of a mark as Redis has it, and of a value
    MARK = 17  # with its kind before it, as the filter has it
    END = 6
    CLAIM = 38  # in a lot: mark, value, end


cdef struct Claim:  # what a record lays claim to
    unsigned char mark[MARK]
    unsigned char value[DIGEST]  # who claims it
    unsigned char first[DIGEST]  # whose it is, once somebody has told
    bint content
    bint told
    uint32_t entry  # which of those that asked
    uint32_t index  # of the record in it
    uint32_t lot
    Py_ssize_t before  # an earlier claim of this batch to the same mark, -1 for none
    long long ends_ms


cdef class Claims:
    cdef LocalFilter _seen
    cdef long long _key_ttl_s
    cdef long long _now_ms
    cdef uint32_t _entries
    cdef Claim *_claims
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room
    cdef list _lots  # as they were handed out
    cdef list _places  # of each lot's claims, in order: which claim it is

    cdef Claim *_new(self, uint32_t index, long long ttl_s, bint content) except NULL
    cdef int _look(self, Claim *claim) except -1
    cdef int _sort(self, dict lots) except -1
    cdef uint32_t _lot_of(self, Claim *claim, dict lots) except? 0xFFFFFFFF
    cdef bytes _packed(self, uint32_t lot, list places)
    cdef int _tell(self, list places, list reply) except -1
