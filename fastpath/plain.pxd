# Declares fastpath/plain.pyx: single values that are plainly good.

from fastpath.wire cimport Message, Text

cdef bint is_name(const Text *text) noexcept nogil
cdef int is_line(const Text *text, Py_ssize_t limit) except -1
cdef int mask_of(const Text *channels) noexcept nogil
cdef bint is_moment(const Text *text, long long *ms) noexcept nogil
cdef bint is_window(const Text *text, long long *seconds) noexcept nogil
cdef bint is_plain_email(const Text *text, frozenset undeliverable) except -1
