# Declares fastpath/columns.pyx for fastpath/rows.pyx. Offsets are those of fastpath/layout.py, checked on import.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastpath.records cimport HEADER, get_u32

cdef enum:
    OUTCOME = 3
    FIRST = 1
    PRIORITY = 5  # offsets of slots
    KLASS = 6
    CHANNEL = 7
    STATUS = 8
    STATION = 9
    DEVICE = 11
    ATTEMPT = 12
    ERROR_CLASS = 14
    FLAGS = 15
    VERSION = 16
    EXTRA = 20
    AT_MS = 48
    QUEUED_MS = 64
    SENDING_MS = 72
    PAYLOAD = 124  # where strings begin: HEADER + 4 * 11
    WORD_MAX = 256  # see fastpath/outcomes.py
    REASON_MAX = 2000
    SMALL = 0x7FFF
    LARGE = 0x7FFFFFFF
    COMPACT = 0x80
    BEGUN = 0x80
    NULL_LENGTH = 0xFFFFFFFF  # in place of a column's length


cdef enum Text:  # strings of an outcome by their index
    TYPE
    RECIPIENT_ID
    TEMPLATE
    LANGUAGE
    SOURCE
    TRACEPARENT
    PROVIDER
    PROVIDER_ID
    CODE
    REASON
    VERDICTS


# The growing body of a COPY.
cdef class Body:
    cdef unsigned char *_data
    cdef Py_ssize_t _size
    cdef Py_ssize_t _room
    cdef unsigned char *reserve(self, Py_ssize_t more) except NULL
    cdef void grow(self, Py_ssize_t written) noexcept
    cdef bytes finish(self)


cdef int64_t made_ms(const unsigned char *o) noexcept  # when the id was made
cdef int64_t accepted_ms(const unsigned char *o) noexcept
cdef int64_t happened_ms(const unsigned char *o) noexcept
cdef bytes id_of(const unsigned char *o)
cdef unsigned char *put_time(unsigned char *at, int64_t ms) noexcept
cdef unsigned char *put_id(unsigned char *at, const unsigned char *o) noexcept
cdef unsigned char *put_text(unsigned char *at, const unsigned char *text, Py_ssize_t size) noexcept
cdef unsigned char *put_string(unsigned char *at, const unsigned char *o, int index, Py_ssize_t most) except NULL
cdef unsigned char *put_optional(unsigned char *at, const unsigned char *o, int index) except NULL  # "" is null
cdef unsigned char *put_packed(unsigned char *at, const unsigned char *o) except NULL
cdef unsigned char *put_trace(unsigned char *at, const unsigned char *o) except NULL


cdef inline int attempt_of(const unsigned char *o) noexcept:
    return o[ATTEMPT] | o[ATTEMPT + 1] << 8


cdef inline const unsigned char *text_at(const unsigned char *o, int index, Py_ssize_t *size) noexcept:
    cdef const unsigned char *ends = o + HEADER
    cdef uint32_t begin = get_u32(ends + 4 * (index - 1)) if index else 0
    size[0] = get_u32(ends + 4 * index) - begin
    return o + PAYLOAD + begin


cdef inline unsigned char *put(unsigned char *at, uint64_t value, int width) noexcept:
    cdef int i
    for i in range(width):
        at[i] = value >> (8 * (width - 1 - i)) & 255
    return at + width


cdef inline unsigned char *put_small(unsigned char *at, uint32_t value) noexcept:
    return put(put(at, 2, 4), value if value < SMALL else SMALL, 2)
