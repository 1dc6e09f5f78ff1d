# Declares fastpath/intake.pyx.

from libc.stdint cimport uint32_t

from fastpath.canonical cimport Canonical
from fastpath.records cimport Draft
from fastpath.wire cimport Message, Text


cdef class Reader:
    cdef uint32_t _partitions
    cdef object _email, _phone, _language, _timezone
    cdef frozenset _undeliverable
    cdef Canonical _canonical
    # Of the call under way: what was asked for, and the template that was looked up last.
    cdef object _known, _mark, _terms
    cdef str _traceparent
    cdef unsigned int _admitted
    cdef long long _now_ms
    cdef Text _template
    cdef unsigned long long _asked
    cdef uint32_t _version
    cdef frozenset _required
    cdef int _channels

    cdef object _take(self, const unsigned char *at, const unsigned char *end, const unsigned char *dice)
    cdef int _plain(self, Message *n, Draft *draft) except -1
    cdef int _template_suits(self, Message *n, Draft *draft) except -1
    cdef int _stamp(self, Draft *draft, int who, const unsigned char *dice) except -1
