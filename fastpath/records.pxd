# Declares fastpath/records.pyx for the other native modules. Sizes are those of fastpath/layout.py, checked on import.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    HEADER = 80
    ID_OFFSET = 24
    ID_WIDTH = 16
    KIND = 4  # offsets of slots that native modules read by themselves
    ACCEPTED_MS = 40
    FRAME_HEADER = 8
    MAX_TEXTS = 16  # strings a kind may have


# How one attribute is read and written.
cdef enum Form:
    NUMBER
    IDENTITY
    TEXT
    BLOB


cdef class Field:
    cdef Form form
    cdef int at  # offset in the header of a number
    cdef int width
    cdef bint signed
    cdef bint fixed  # kind and length: never given by a caller
    cdef int index  # which string of its kind


# A record about to be encoded: its header, and borrowed strings.
cdef struct Draft:
    unsigned char header[HEADER]
    const char *text[MAX_TEXTS]
    Py_ssize_t size[MAX_TEXTS]
    int count


cdef class Record:
    cdef bytes _buffer
    cdef const unsigned char *_start  # inside of _buffer; NULL only for an object that record() did not make
    cdef Py_ssize_t _size


cdef class Writer:
    cdef int _kind
    cdef tuple _names
    cdef list _fields


# For modules that read and write records without a Python call for each field.
cdef Record view_of(bytes buffer, const unsigned char *start, Py_ssize_t size)  # what checked_size has found to be whole
cdef Py_ssize_t checked_size(const unsigned char *start, Py_ssize_t at, Py_ssize_t total, int kind) except -1
cdef const char *text_of(Record self, int index, Py_ssize_t *size) noexcept  # the index-th string of its kind
cdef int begin(Draft *draft, int kind) except -1  # an empty draft
cdef Record encode(Draft *draft)


cdef inline uint32_t get_u32(const unsigned char *at) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24


cdef inline uint64_t get_u64(const unsigned char *at) noexcept nogil:
    return get_u32(at) | <uint64_t>get_u32(at + 4) << 32


cdef inline void put_u32(unsigned char *at, uint32_t value) noexcept nogil:
    at[0], at[1], at[2], at[3] = value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24


cdef inline void put_u64(unsigned char *at, uint64_t value) noexcept nogil:
    put_u32(at, <uint32_t>value)
    put_u32(at + 4, <uint32_t>(value >> 32))


cdef inline Py_ssize_t encoded_size(Draft *draft) except -1:
    """How many bytes `encode_at` writes."""
    cdef Py_ssize_t total = HEADER + 4 * draft.count
    cdef int index
    for index in range(draft.count):
        total += draft.size[index]
    if total > 0xFFFFFFFF:
        raise ValueError("record does not fit 4 bytes")
    return total


cdef inline void encode_at(Draft *draft, unsigned char *start, Py_ssize_t total) noexcept:
    cdef unsigned char *ends = start + HEADER
    cdef unsigned char *payload = ends + 4 * draft.count
    cdef uint32_t end = 0
    cdef int index
    put_u32(draft.header, <uint32_t>total)
    memcpy(start, draft.header, HEADER)
    for index in range(draft.count):
        if draft.size[index]:
            memcpy(payload + end, draft.text[index], draft.size[index])
        end += <uint32_t>draft.size[index]
        put_u32(ends + 4 * index, end)
