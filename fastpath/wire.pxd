# Declares fastpath/wire.pyx: protobuf's wire format for the native modules.

cdef enum:
    MAX_FIELDS = 14  # numbers of a message's fields are below this

cdef struct Text:
    const unsigned char *at
    Py_ssize_t size


# The fields of a message, by number.
cdef struct Message:
    unsigned int seen  # a bit for each
    unsigned long long number[MAX_FIELDS]
    Text text[MAX_FIELDS]


cdef int read_varint(const unsigned char **at, const unsigned char *end, unsigned long long *value) noexcept nogil
cdef int put_varint(unsigned char *at, unsigned long long value) noexcept nogil
# Steps over a length; where what is so long ends, NULL if that is beyond `end`.
cdef const unsigned char *read_size(const unsigned char **at, const unsigned char *end) noexcept nogil
cdef const unsigned char *next_item(const unsigned char **at, const unsigned char *end) noexcept nogil
# `numbers` and `texts`: which fields there may be of each kind, a bit each.
cdef bint read_message(
    Message *message, const unsigned char *at, const unsigned char *end, unsigned int numbers, unsigned int texts
) noexcept nogil
cdef bint is_utf8(const unsigned char *at, Py_ssize_t size) noexcept nogil
cdef object str_of(const Text *text)
cdef bint same(const Text *one, const Text *other) noexcept nogil
