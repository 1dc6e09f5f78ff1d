# Declares fastpath/canonical.pyx for the native modules that take a Struct's JSON without a Python object on the way.


cdef struct Entry:
    const unsigned char *key
    Py_ssize_t key_size
    const unsigned char *value  # the fields of its Value
    const unsigned char *end


cdef class Canonical:
    cdef unsigned char *json  # of the last Struct, `size` bytes
    cdef Py_ssize_t size
    cdef Entry *_entries  # of all objects that are open, one after the other
    cdef Py_ssize_t _room
    cdef Py_ssize_t _used

    # 1 if `wire` was written and has all of `required` (a frozenset of str, or None), 0 if it needs a closer look
    cdef int put(self, const unsigned char *at, const unsigned char *end, frozenset required) except -1
    cdef int _object(self, const unsigned char *at, const unsigned char *end, int depth, frozenset required) except -1
    cdef int _collect(self, const unsigned char *at, const unsigned char *end) except -1
    cdef int _list(self, const unsigned char *at, const unsigned char *end, int depth) except -1
    cdef int _value(self, const unsigned char *at, const unsigned char *end, int depth) except -1
    cdef int _number(self, const unsigned char *at) except -1
    cdef int _text(self, const unsigned char *at, Py_ssize_t size) noexcept
    cdef int _raw(self, const char *text, Py_ssize_t size) noexcept
