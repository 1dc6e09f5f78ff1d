# cython: boundscheck=False, wraparound=False
"""Records as views of encoded bytes, frames of records, packed parts (see fastpath/layout.py). No I/O.

The words are in the twin, fastpath/pure/records.py. Every offset is checked against the end of the buffer before it is
read: in unpack_frame for a record's header and strings, in unpack_parts for a part. Views trust what was checked there.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyObject_GenericGetAttr, PyObject_Hash
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp, memcpy, memset

from fastpath import layout
from fastpath.errors import FrameError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    object PyNumber_Index(object number)


cdef Field _number(str name):
    cdef Field field = Field.__new__(Field)
    field.form = NUMBER
    field.at, field.width, field.signed = layout.SLOTS[name]
    field.fixed = name in ("length", "kind")
    return field


cdef Field _string(int index, str name):
    cdef Field field = Field.__new__(Field)
    field.form = BLOB if name in layout.BLOBS else TEXT
    field.index = index
    return field


cdef dict _fields(tuple names):
    fields = {name: _number(name) for name in layout.SLOTS}
    fields |= {name: _string(index, name) for index, name in enumerate(names)}
    cdef Field identity = Field.__new__(Field)
    identity.form = IDENTITY
    fields["id"] = identity
    return fields


if (layout.HEADER, layout.ID_OFFSET, layout.ID_WIDTH, layout.FRAME_HEADER) != (
    HEADER, ID_OFFSET, ID_WIDTH, FRAME_HEADER
) or (layout.SLOTS["kind"][0], layout.SLOTS["accepted_ms"][0]) != (
    KIND, ACCEPTED_MS
) or max(len(names) for names in layout.STRINGS.values()) > MAX_TEXTS:
    raise ImportError("fastpath.records was built for another layout; build it again")

cdef list _FIELDS = [_fields(layout.STRINGS[kind]) if kind in layout.STRINGS else None for kind in range(256)]
cdef int[256] _TEXTS  # strings by kind
for _kind in range(256):
    _TEXTS[_kind] = len(layout.STRINGS.get(_kind, ()))
cdef bytes _MAGIC = layout.MAGIC + bytes((layout.VERSION,))


@cython.final
@cython.freelist(256)
cdef class Record:

    def __init__(self):
        raise TypeError("records are made by record() and unpack_frame()")

    def __getattribute__(self, str name not None):
        cdef PyObject *field = PyDict_GetItem(<dict>_FIELDS[_start(self)[KIND]], name)
        if field is NULL:
            return PyObject_GenericGetAttr(self, name)
        return _value(self, <Field>field, name)

    @property
    def raw(self):
        if self._size == PyBytes_GET_SIZE(self._buffer):
            return self._buffer
        return PyBytes_FromStringAndSize(<const char *>self._start, self._size)

    def replace(self, **changes):
        cdef Draft draft
        cdef int index
        cdef Py_ssize_t size
        memcpy(draft.header, _start(self), HEADER)
        draft.count = _TEXTS[self._start[KIND]]
        for index in range(draft.count):
            draft.text[index] = text_of(self, index, &size)
            draft.size[index] = size
        _fill(&draft, changes)
        return encode(&draft)

    def __eq__(self, other):
        if not isinstance(other, Record):
            return NotImplemented
        cdef Record that = <Record>other
        return self._size == that._size and memcmp(_start(self), _start(that), self._size) == 0

    def __hash__(self):
        _start(self)
        return PyObject_Hash(self.raw)

    def __repr__(self):
        return f"<Record kind={self.kind} id={self.id.hex()}>"


def record(int kind, /, *, bytes id not None, **fields):
    if not 0 <= kind <= 255 or _TEXTS[kind] == 0:
        raise ValueError(f"unknown kind of record: {kind}")
    cdef Draft draft
    begin(&draft, kind)
    _put_id(&draft, id)
    _fill(&draft, fields)
    return encode(&draft)


@cython.final
cdef class Writer:

    def __init__(self, int kind, names):
        if not 0 <= kind <= 255 or _TEXTS[kind] == 0:
            raise ValueError(f"unknown kind of record: {kind}")
        self._kind = kind
        self._names = tuple(names)
        if "id" in self._names:
            raise TypeError("id is always the first value")
        self._fields = [_settable(kind, name) for name in self._names]

    def __call__(self, bytes id not None, *values):
        cdef Draft draft
        cdef Py_ssize_t index
        if len(values) != len(self._names):
            raise TypeError(f"{len(values)} values for {len(self._names)} names")
        begin(&draft, self._kind)
        _put_id(&draft, id)
        for index in range(len(values)):
            _put(&draft, <Field>self._fields[index], values[index], <str>self._names[index])
        return encode(&draft)


def pack_frame(records not None):
    cdef list all_records = records if type(records) is list else list(records)
    if not all_records:
        raise ValueError("a frame has at least one record")
    cdef Record each
    cdef Py_ssize_t total = FRAME_HEADER
    cdef int kind = _start(<Record?>all_records[0])[KIND]
    for each in all_records:
        if _start(each)[KIND] != kind:
            raise ValueError("records of different kinds in one frame")
        total += each._size
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(frame)
    memcpy(at, PyBytes_AS_STRING(_MAGIC), 3)
    at[3] = kind
    put_u32(at + 4, <uint32_t>len(all_records))
    at += FRAME_HEADER
    for each in all_records:
        memcpy(at, each._start, each._size)
        at += each._size
    return frame


def unpack_frame(bytes frame not None):
    cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(frame)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(frame), at = FRAME_HEADER
    if size < FRAME_HEADER or memcmp(start, PyBytes_AS_STRING(_MAGIC), 2):
        raise FrameError("not a frame")
    if start[2] != layout.VERSION:
        raise FrameError(f"frame of version {start[2]}; this process reads version {layout.VERSION}")
    if _TEXTS[start[3]] == 0:
        raise FrameError(f"frame of unknown kind {start[3]}")
    cdef list records = []
    cdef Record view
    cdef uint32_t left
    for left in range(get_u32(start + 4)):
        view = view_of(frame, start + at, checked_size(start, at, size, start[3]))
        records.append(view)
        at += view._size
    if not records or at != size:
        raise FrameError(f"frame of {len(records)} records ends at byte {at} of {size}")
    return records


def ages(records not None):
    cdef dict found = {}
    cdef Record each
    cdef uint64_t accepted, last = 0
    cdef Py_ssize_t count = 0
    for each in records:  # neighbours were mostly accepted in the same millisecond
        accepted = get_u64(_start(each) + ACCEPTED_MS)
        if count and accepted != last:
            _add(found, <long long>last, count)
            count = 0
        last = accepted
        count += 1
    if count:
        _add(found, <long long>last, count)
    return found


cdef int _add(dict counts, object key, Py_ssize_t count) except -1:
    cdef PyObject *before = PyDict_GetItem(counts, key)
    counts[key] = count if before is NULL else count + <object>before
    return 0


def pack_parts(parts not None):
    cdef bytes text
    cdef tuple pair
    cdef Py_ssize_t total = 0, size
    cdef list pairs = list(parts)
    for pair in pairs:
        part, text = pair
        size = len(text)
        if not 0 <= part <= 255 or size > 0xFFFFFFFF:
            raise ValueError("part does not fit 1 byte or its length 4")
        total += 5 + size
    cdef bytes content = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(content)
    for pair in pairs:
        part, text = pair
        size = len(text)
        at[0] = part
        put_u32(at + 1, <uint32_t>size)
        memcpy(at + 5, PyBytes_AS_STRING(text), size)
        at += 5 + size
    return content


def unpack_parts(bytes content not None):
    cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(content)
    cdef Py_ssize_t total = PyBytes_GET_SIZE(content), at = 0, size
    cdef dict parts = {}
    while at < total:
        if total - at < 5:
            raise FrameError("content is cut off")
        part, size = start[at], get_u32(start + at + 1)
        at += 5
        if size > total - at or part in parts:
            raise FrameError("content is cut off or has a part twice")
        parts[part] = PyBytes_FromStringAndSize(<const char *>start + at, size)
        at += size
    return parts


cdef inline const unsigned char *_start(Record self) except NULL:
    if self._start is NULL:
        raise TypeError("records are made by record() and unpack_frame()")
    return self._start


cdef Record view_of(bytes buffer, const unsigned char *start, Py_ssize_t size):
    cdef Record view = Record.__new__(Record)
    view._buffer = buffer
    view._start = start
    view._size = size
    return view


cdef const char *text_of(Record self, int index, Py_ssize_t *size) noexcept:
    """Where the index-th string is. Its bounds were checked when the view was made."""
    cdef const unsigned char *ends = self._start + HEADER
    cdef uint32_t begin = get_u32(ends + 4 * (index - 1)) if index else 0
    size[0] = get_u32(ends + 4 * index) - begin
    return <const char *>ends + 4 * _TEXTS[self._start[KIND]] + begin


cdef object _value(Record self, Field field, str name):
    cdef Py_ssize_t size
    cdef const char *text
    if field.form == NUMBER:
        return _get_int(self._start + field.at, field.width, field.signed)
    if field.form == IDENTITY:
        return PyBytes_FromStringAndSize(<const char *>self._start + ID_OFFSET, ID_WIDTH)
    text = text_of(self, field.index, &size)
    if field.form == BLOB:
        return PyBytes_FromStringAndSize(text, size)
    try:
        return PyUnicode_DecodeUTF8(text, size, NULL)
    except UnicodeDecodeError as error:
        raise FrameError(f"{name} is not UTF-8") from error


cdef int begin(Draft *draft, int kind) except -1:
    memset(draft, 0, sizeof(Draft))
    draft.header[KIND] = kind
    draft.count = _TEXTS[kind]
    return 0


cdef Field _settable(int kind, name):
    cdef PyObject *found = PyDict_GetItem(<dict>_FIELDS[kind], name)
    if found is NULL or (<Field>found).fixed:
        raise TypeError(f"a record of kind {kind} has no {name!r}")
    return <Field>found


cdef int _fill(Draft *draft, dict fields) except -1:
    """Write the given fields. Strings are borrowed from `fields`, which outlives the draft."""
    for name, value in fields.items():
        _put(draft, _settable(draft.header[KIND], name), value, name)
    return 0


cdef int _put(Draft *draft, Field field, object value, str name) except -1:
    if field.form == NUMBER:
        return _put_int(draft.header + field.at, field, value, name)
    if field.form == TEXT:
        if not isinstance(value, str):
            raise TypeError(f"{name} is str")
        draft.text[field.index] = PyUnicode_AsUTF8AndSize(value, &draft.size[field.index])
        return 0
    if field.form == BLOB:
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is bytes")
        draft.text[field.index] = PyBytes_AS_STRING(value)
        draft.size[field.index] = PyBytes_GET_SIZE(value)
        return 0
    return _put_id(draft, value)


cdef int _put_id(Draft *draft, object value) except -1:
    if not isinstance(value, bytes):
        raise TypeError("id is bytes")
    if PyBytes_GET_SIZE(value) != ID_WIDTH:
        raise ValueError(f"id has {len(value)} bytes, not {ID_WIDTH}")
    memcpy(draft.header + ID_OFFSET, PyBytes_AS_STRING(value), ID_WIDTH)
    return 0


cdef Record encode(Draft *draft):
    cdef Py_ssize_t total = encoded_size(draft)
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *start = <unsigned char *>PyBytes_AS_STRING(raw)
    encode_at(draft, start, total)
    return view_of(raw, start, total)


cdef Py_ssize_t checked_size(const unsigned char *start, Py_ssize_t at, Py_ssize_t total, int kind) except -1:
    """The size of the record at `at`, once its strings are known to lie inside of it and it inside of the frame."""
    cdef int count = _TEXTS[kind], index
    cdef Py_ssize_t least = HEADER + 4 * count, size
    cdef uint32_t begin, end = 0
    if total - at < least:
        raise FrameError(f"frame is cut off in the record at byte {at}")
    size = get_u32(start + at)
    if size < least or size > total - at or start[at + KIND] != kind:
        raise FrameError(f"record at byte {at} has a damaged header")
    for index in range(count):
        begin, end = end, get_u32(start + at + HEADER + 4 * index)
        if end < begin:
            raise FrameError(f"record at byte {at} has damaged strings")
    if end != size - least:
        raise FrameError(f"record at byte {at} has damaged strings")
    return size


cdef object _get_int(const unsigned char *at, int width, bint signed):
    cdef unsigned long long value = 0
    cdef int index
    for index in range(width):
        value |= <unsigned long long>at[index] << (8 * index)
    if signed:
        return <long long>value  # only slots of 8 bytes are signed
    return value


cdef int _put_int(unsigned char *at, Field field, object number, str name) except -1:
    cdef int overflow = 0, index
    cdef long long value = PyLong_AsLongLongAndOverflow(PyNumber_Index(number), &overflow)
    if overflow or (not field.signed and (value < 0 or value >> (8 * field.width))):
        raise ValueError(f"{name} does not fit {field.width} bytes")
    for index in range(field.width):
        at[index] = value >> (8 * index) & 255
    return 0
