# cython: boundscheck=False, wraparound=False, cdivision=True
"""Redis commands as bytes, and the reply of XREADGROUP as entries. The words are in the twin, fastpath/pure/resp.py.

A pipeline is measured first and then written into one allocation: _write writes exactly what _measure counted, from
strings that cannot change in between.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from fastpath.errors import FrameError
from fastpath.layout import FIELD as _FIELD

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef bytes FIELD = _FIELD


def pack_command(args not None):
    return _pack([_texts(args)])


def pack_commands(commands not None):
    return _pack([_texts(args) for args in commands])


def pack_xadd(stream not None, bytes frame not None):
    return _pack([_texts((b"XADD", stream, b"*", FIELD, frame))])


def pack_ack(stream not None, group not None, ids not None):
    if not ids:
        raise ValueError("nothing to acknowledge")
    return _pack([_texts((b"XACK", stream, group, *ids)), _texts((b"XDEL", stream, *ids))])


def read_entries(reply):
    if reply is None:
        return []
    cdef list found = []
    try:
        for stream, entries in reply.items() if isinstance(reply, dict) else reply:
            name = stream.decode()
            for id, fields in entries:
                found.append((name, id.decode(), _frame(fields)))
    except (AttributeError, TypeError, ValueError) as error:
        raise FrameError("not a reply to XREADGROUP") from error
    return found


cdef bytes _frame(fields):
    """The frame among an entry's flat list of names and values."""
    cdef Py_ssize_t at
    if fields is None:
        return b""
    for at in range(0, len(fields) - 1, 2):
        if fields[at] == FIELD:
            return <bytes?>fields[at + 1]
    raise FrameError("an entry without a frame")


cdef bytes _pack(list commands):
    cdef list texts
    cdef Py_ssize_t total = 0
    for texts in commands:
        total += _measure(texts)
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, total)
    cdef char *at = PyBytes_AS_STRING(packed)
    for texts in commands:
        at = _write(at, texts)
    return packed


cdef list _texts(args):
    """The arguments as bytes and str; numbers are written out."""
    cdef list texts = list(args)
    cdef Py_ssize_t index
    if not texts:
        raise ValueError("a command has at least its name")
    for index in range(len(texts)):
        arg = texts[index]
        if isinstance(arg, (bytes, str)):
            continue
        if isinstance(arg, int) and not isinstance(arg, bool):
            texts[index] = b"%d" % arg
        elif isinstance(arg, float):
            texts[index] = repr(arg).encode()
        else:
            raise TypeError(f"cannot send {type(arg).__name__} to Redis")
    return texts


cdef inline const char *_text(object text, Py_ssize_t *size) except NULL:
    if isinstance(text, bytes):
        size[0] = PyBytes_GET_SIZE(text)
        return PyBytes_AS_STRING(text)
    return PyUnicode_AsUTF8AndSize(text, size)


cdef Py_ssize_t _measure(list texts) except -1:
    cdef Py_ssize_t total = 3 + _digits(len(texts)), size
    for text in texts:
        _text(text, &size)
        total += 5 + _digits(size) + size
    return total


cdef char *_write(char *at, list texts) except NULL:
    cdef const char *source
    cdef Py_ssize_t size
    at = _put_length(at, b"*", len(texts))
    for text in texts:
        source = _text(text, &size)
        at = _put_length(at, b"$", size)
        memcpy(at, source, size)
        at[size], at[size + 1] = b"\r", b"\n"
        at += size + 2
    return at


cdef int _digits(Py_ssize_t value) noexcept nogil:
    cdef int digits = 1
    while value >= 10:
        value //= 10
        digits += 1
    return digits


cdef char *_put_length(char *at, char mark, Py_ssize_t value) noexcept nogil:
    """`mark`, the number in decimal, and an end of line: as many bytes as _measure counts for it."""
    cdef int digits = _digits(value), index
    at[0] = mark
    for index in range(digits, 0, -1):
        at[index] = <char>(48 + value % 10)
        value //= 10
    at[digits + 1], at[digits + 2] = b"\r", b"\n"
    return at + digits + 3
