# cython: boundscheck=False, wraparound=False
"""Protobuf's wire format for other native modules: varints, lengths, the fields of small messages, UTF-8.

Nothing is read beyond `end`, and what is not plainly well-formed is not taken. No Python API; fastpath/pure/intake.py does the same.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp, memset


cdef int read_varint(const unsigned char **at, const unsigned char *end, unsigned long long *value) noexcept nogil:
    cdef const unsigned char *here = at[0]
    cdef int shift = 0
    value[0] = 0
    while here < end and shift < 63:
        value[0] |= <unsigned long long>(here[0] & 127) << shift
        here += 1
        if (here - 1)[0] < 128:
            at[0] = here
            return 1
        shift += 7
    if here < end and shift == 63 and here[0] <= 1:  # the tenth byte has one bit left
        value[0] |= <unsigned long long>here[0] << 63
        at[0] = here + 1
        return 1
    return 0



cdef int put_varint(unsigned char *at, unsigned long long value) noexcept nogil:
    """Up to ten bytes; how many."""
    cdef int size = 0
    while value > 127:
        at[size] = value & 127 | 128
        value >>= 7
        size += 1
    at[size] = <unsigned char>value
    return size + 1


cdef const unsigned char *read_size(const unsigned char **at, const unsigned char *end) noexcept nogil:
    cdef unsigned long long size
    if not read_varint(at, end, &size) or size > <unsigned long long>(end - at[0]):
        return NULL
    return at[0] + size


cdef bint is_utf8(const unsigned char *at, Py_ssize_t size) noexcept nogil:
    """Shortest forms only, no surrogates, nothing beyond U+10FFFF: what Python and protobuf take."""
    cdef const unsigned char *end = at + size
    cdef unsigned char lead, low, high
    cdef int rest
    while at < end:
        lead = at[0]
        at += 1
        if lead < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            rest = 1
        elif 0xE0 <= lead <= 0xEF:
            rest = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            rest = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at < rest or not low <= at[0] <= high:
            return False
        at += 1
        for rest in range(rest - 1):
            if at[0] & 0xC0 != 0x80:
                return False
            at += 1
    return True


cdef const unsigned char *next_item(const unsigned char **at, const unsigned char *end) noexcept nogil:
    """Where the next notification of a request begins; `at` then is where it ends. NULL if it is something else."""
    cdef const unsigned char *item = at[0] + 1
    if at[0][0] != 10:
        return NULL
    cdef const unsigned char *item_end = read_size(&item, end)
    at[0] = item_end
    return item if item_end is not NULL else NULL


cdef bint read_message(
    Message *message, const unsigned char *at, const unsigned char *end, unsigned int numbers, unsigned int texts
) noexcept nogil:
    """The fields of a message, each of which is of its kind and stands once; what is not there is 0 and empty."""
    cdef int field, form
    cdef const unsigned char *text_end
    memset(message, 0, sizeof(Message))
    while at < end:
        field, form = at[0] >> 3, at[0] & 7
        if at[0] >= 128 or field >= MAX_FIELDS or message.seen >> field & 1:
            return False
        at += 1
        if form == 0 and numbers >> field & 1:
            if not read_varint(&at, end, &message.number[field]):
                return False
        elif form == 2 and texts >> field & 1:
            text_end = read_size(&at, end)
            if text_end is NULL:
                return False
            message.text[field].at, message.text[field].size = at, text_end - at
            at = text_end
        else:
            return False
        message.seen |= <unsigned int>1 << field
    return True


cdef object str_of(const Text *text):
    return PyUnicode_DecodeUTF8(<const char *>text.at, text.size, NULL)


cdef bint same(const Text *one, const Text *other) noexcept nogil:
    return one.size == other.size and memcmp(one.at, other.at, one.size) == 0
