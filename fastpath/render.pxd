# Declares fastpath/render.pyx.

cdef class Part:
    cdef unsigned char number
    cdef list body  # None where Jinja2 renders the part
    cdef object template


cdef class Compiled:
    cdef readonly frozenset variables
    cdef readonly frozenset required
    cdef readonly bint plain
    cdef list _parts

    cdef bytes _render(self, dict data)


cdef class Entry:  # of the cache, linked from the least to the most recently used
    cdef object full
    cdef bytes content
    cdef Py_ssize_t cost
    cdef Entry before
    cdef Entry after

    cdef inline int unlink(self) except -1
    cdef inline int link(self, Entry root) except -1


cdef class RenderCache:
    cdef dict _entries
    cdef Entry _root  # closes the ring: `after` is the least recently used, `before` the most
    cdef Py_hash_t *_sights  # of what was rendered once
    cdef Py_ssize_t _max_bytes
    cdef Py_ssize_t _bytes
    cdef long long _hits
    cdef long long _misses

    cdef bytes rendered(self, tuple key, Compiled compiled, bytes data)
    cdef bint _seen(self, Py_hash_t sight) noexcept
    cdef int _keep(self, object full, bytes content) except -1
