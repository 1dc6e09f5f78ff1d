# Declares fastpath/claims.pyx.

from fastpath.dedupe cimport LocalFilter
from fastpath.records cimport Record


cdef class Ask:  # one mark that a record lays claim to
    cdef str mark
    cdef str value  # who claims it
    cdef long long ttl_s
    cdef Py_ssize_t entry  # which of those that asked
    cdef Py_ssize_t index  # of the record in it
    cdef bint content
    cdef str first  # whose it is; None while nobody has told


cdef class Claims:
    cdef LocalFilter _seen
    cdef long long _key_ttl_s
    cdef long long _now_ms
    cdef Py_ssize_t _entries
    cdef list _asks
    cdef list _strange  # those that the filter does not know

    cdef int _ask(self, str mark, str value, Py_ssize_t index, long long ttl_s, bint content) except -1
