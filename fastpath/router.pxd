# Declares fastpath/router.pyx.

cdef enum:
    MAX_CHANNELS = 8


cdef class Compiled:  # a Rule with its numbers unpacked
    cdef object name
    cdef tuple types
    cdef unsigned char priorities
    cdef unsigned char klasses
    cdef unsigned char[MAX_CHANNELS] channels
    cdef int count
    cdef bint first

    cdef bint matches(self, str type, int priority, int klass) except -1
    cdef tuple reachable(self, int available)


cdef class Router:
    cdef list _rules
    cdef dict _memo  # type -> {packed arguments: Route}
    cdef int _size  # decisions in _memo

    cdef object _decide(self, str type, int priority, int klass, int requested, int available)
