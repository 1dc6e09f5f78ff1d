# Declares fastpath/resp.pyx.

cdef list _texts(args)
cdef Py_ssize_t _measure(list texts) except -1
cdef char *_write(char *at, list texts) except NULL
cdef int _digits(Py_ssize_t value) noexcept nogil
cdef char *_put_length(char *at, char mark, Py_ssize_t value) noexcept nogil
