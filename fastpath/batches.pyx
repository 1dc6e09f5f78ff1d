# cython: boundscheck=False, wraparound=False
"""What surrounds the records of a request: frames of them, their answers, a stream's messages.

The words are in the twin, fastpath/pure/batches.py. Every length is checked before it is read.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.string cimport memcpy

from fastpath.records cimport FRAME_HEADER, ID_OFFSET, ID_WIDTH, KIND, Record
from fastpath.wire cimport put_varint, read_size, read_varint

from fastpath.records import pack_frame

cdef enum:
    PRIORITY = 5
    RESULT = 38  # bytes of a SendResult that has an id and nothing else
    VARINT = 10  # bytes at most

cdef const char *_HEX = "0123456789abcdef"


@cython.final
@cython.internal
cdef class Open:
    """A frame that is not full yet."""

    cdef list records
    cdef Py_ssize_t size


def pack_frames(records not None, Py_ssize_t most_records, Py_ssize_t most_bytes):
    cdef dict open_ = {}
    cdef list found = []
    cdef Record record
    cdef Open frame
    cdef PyObject *kept
    cdef const unsigned char *start
    for record in records:
        start = _start(record)
        where = start[ID_OFFSET + 6] << 16 | start[ID_OFFSET + 7] << 8 | start[KIND]
        kept = PyDict_GetItem(open_, where)
        if kept is not NULL:
            frame = <Open>kept
            if len(frame.records) < most_records and frame.size + record._size <= most_bytes:
                frame.records.append(record)
                frame.size += record._size
                continue
            found.append((frame.records[0], pack_frame(frame.records)))
            del open_[where]
        frame = Open.__new__(Open)
        frame.records = [record]
        frame.size = FRAME_HEADER + record._size
        open_[where] = frame
    for frame in open_.values():
        found.append((frame.records[0], pack_frame(frame.records)))
    return found


def by_priority(records not None):
    cdef dict found = {}
    cdef Record record
    cdef PyObject *kept
    for record in records:
        priority = _start(record)[PRIORITY]
        kept = PyDict_GetItem(found, priority)
        if kept is NULL:
            found[priority] = [record]
        else:
            (<list>kept).append(record)
    return found


def pack_result(bytes id not None):
    if PyBytes_GET_SIZE(id) != ID_WIDTH:
        raise ValueError(f"id has {len(id)} bytes, not {ID_WIDTH}")
    cdef bytes result = PyBytes_FromStringAndSize(NULL, RESULT)
    _put_result(<unsigned char *>PyBytes_AS_STRING(result), <const unsigned char *>PyBytes_AS_STRING(id))
    return result


def pack_results(answers not None):
    cdef list all_answers = answers if type(answers) is list else list(answers)
    cdef Py_ssize_t total = 0, size
    for answer in all_answers:
        total += 2 + RESULT if isinstance(answer, Record) else 1 + VARINT + PyBytes_GET_SIZE(<bytes?>answer)
    cdef bytes found = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *start = <unsigned char *>PyBytes_AS_STRING(found)
    cdef unsigned char *at = start
    for answer in all_answers:
        at[0] = 10
        if isinstance(answer, Record):
            at[1] = RESULT
            _put_result(at + 2, _start(<Record>answer) + ID_OFFSET)
            at += 2 + RESULT
            continue
        size = PyBytes_GET_SIZE(answer)
        at += 1 + put_varint(at + 1, size)
        memcpy(at, PyBytes_AS_STRING(answer), size)
        at += size
    return found[:at - start]


def pack_acknowledgement(unsigned long long sequence, bytes result not None):
    cdef unsigned char[2 + 2 * VARINT] head
    cdef int size = 0
    if sequence:
        head[0] = 8
        size = 1 + put_varint(head + 1, sequence)
    head[size] = 18
    size += 1
    size += put_varint(head + size, PyBytes_GET_SIZE(result))
    return PyBytes_FromStringAndSize(<const char *>head, size) + result


def join_messages(messages not None):
    cdef list sequences = [], parts = []
    cdef unsigned char[1 + VARINT] head
    cdef const unsigned char *at
    cdef const unsigned char *end
    cdef unsigned long long sequence
    cdef bytes message
    for message in messages:
        at = <const unsigned char *>PyBytes_AS_STRING(message)
        end = at + PyBytes_GET_SIZE(message)
        sequence = 0
        if at < end and at[0] == 8:
            at += 1
            if not read_varint(&at, end, &sequence):
                return None
        if at >= end or at[0] != 18:
            return None
        at += 1
        if read_size(&at, end) is not end:
            return None
        sequences.append(sequence)
        head[0] = 10
        parts.append(PyBytes_FromStringAndSize(<const char *>head, 1 + put_varint(head + 1, end - at)))
        parts.append(PyBytes_FromStringAndSize(<const char *>at, end - at))
    return sequences, b"".join(parts)


cdef inline const unsigned char *_start(Record record) except NULL:
    if record is None or record._start is NULL:
        raise TypeError("records are made by record() and unpack_frame()")
    return record._start


cdef void _put_result(unsigned char *at, const unsigned char *id) noexcept nogil:
    """38 bytes: the tag, the length and the usual 36 characters."""
    cdef int index
    at[0], at[1] = 10, 36
    at += 2
    for index in range(ID_WIDTH):
        if index == 4 or index == 6 or index == 8 or index == 10:
            at[0] = 45
            at += 1
        at[0], at[1] = _HEX[id[index] >> 4], _HEX[id[index] & 15]
        at += 2
