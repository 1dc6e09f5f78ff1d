# Declares fastpath/forward.pyx.

from libc.stdint cimport uint32_t

from fastpath.records cimport Draft, Record


cdef class Sheet:  # records of one kind on their way into frames
    cdef int kind
    cdef Py_ssize_t max_records
    cdef Py_ssize_t max_bytes
    cdef unsigned char *out  # the frame begun: its header and `count` records
    cdef Py_ssize_t size
    cdef Py_ssize_t room
    cdef uint32_t count
    cdef list frames  # those that are full

    cdef int write(self, Draft *draft) except -1
    cdef int close(self) except -1
    cdef int make_room(self, Py_ssize_t size) except -1


cdef class Outgoing:
    cdef long long _now_ms
    cdef int _station
    cdef int _queued
    cdef Py_ssize_t _max_records
    cdef Py_ssize_t _max_bytes
    cdef dict _deliveries  # channel << 8 | priority -> Sheet
    cdef Sheet _outcomes
    cdef dict _tally

    cdef int _add(self, Record source, object plan, object traceparent) except -1
    cdef int _deliver(self, Record source, object plan, object letter, object traceparent) except -1
    cdef int _refuse(self, Record source, object plan, object refusal) except -1
    cdef int _open(self, Draft *draft, Record source, object plan, int channel, int status) except -1
    cdef int _count(self, Record source, int channel, int status) except -1
    cdef Sheet _sheet(self, int channel, int priority)
