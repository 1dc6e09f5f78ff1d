# cython: wraparound=False
"""The usual notification's plan, without a Python call for each step: what was decided before is looked up, the rest handed back.

The words are in the twin, fastpath/pure/planner.py. No I/O. Reads strings through text_of, whose bounds were checked when the
view was made, and fixed slots of the header; what is no notification is handed back unread.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from fastpath.records cimport KIND, Record, get_u32, get_u64, text_of
from fastpath.render cimport Compiled, RenderCache
from fastpath.slots cimport *

from orjson import loads

from fastpath.errors import FrameError, RenderFailed, VariableMissing
from fastpath.values import COURSES_MAX, Letter, Plan, Target

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyType_GenericAlloc(object kind, Py_ssize_t items)

cdef enum:
    EMAIL = 1  # channels of core.model, and their masks
    SMS = 2
    PUSH = 3
    IN_APP = 4
    EMAIL_MASK = 1
    SMS_MASK = 2
    PUSH_MASK = 4
    IN_APP_MASK = 8

cdef Py_ssize_t _COURSES_MAX = COURSES_MAX


@cython.final
cdef class Planner:

    def __init__(self, dict people not None, dict templates not None, course not None, RenderCache renders not None):
        self._people, self._templates, self._course, self._renders = people, templates, course, renders

    def plan(self, list records not None, long long now_ms):
        cdef dict known = {}  # templates by the bytes that name them, for this call
        cdef list plans = [], rest = []
        cdef Py_ssize_t index
        for index in range(len(records)):
            plan = self._plan(<Record?>records[index], now_ms, known)
            plans.append(plan)
            if plan is None:
                rest.append(index)
        return plans, rest

    cdef object _plan(self, Record record, long long now_ms, dict known):
        cdef long long expires_ms
        cdef object stored = None
        cdef int available = 0
        if record._start is NULL or record._start[KIND] != NOTIFICATION or _size(record, N_DEVICES):
            return None
        expires_ms = <long long>get_u64(record._start + EXPIRES_MS)
        if expires_ms and expires_ms <= now_ms:
            return None
        try:
            template = self._template(record, now_ms, known)
            if template is None:
                return None
            if _must_look_up(record):
                stored = _fresh(self._people, _str(record, N_RECIPIENT), now_ms)
                if stored is None:
                    return None
                available = _stored(stored)
            available |= _given(record) | (IN_APP_MASK if _size(record, N_RECIPIENT) else 0)
            course = self._decided(record, template, available, stored)
            return None if course is None else self._write(record, course, stored)
        except (UnicodeDecodeError, FrameError, VariableMissing, RenderFailed):
            return None

    cdef object _write(self, Record record, object course, object stored):
        """The plan of a course: a letter to each target on each way."""
        cdef Py_ssize_t size
        cdef const char *text = text_of(record, N_DATA, &size)
        cdef bytes data = PyBytes_FromStringAndSize(text, size) if size else b"{}"
        cdef list letters = []
        for way in <tuple?>item(course, COURSE_WAYS):
            content = self._renders.rendered(<tuple?>item(way, WAY_KEY), <Compiled?>item(way, WAY_COMPILED), data)
            for target in _targets(record, item(way, WAY_CHANNEL), stored):
                letters.append(_made(Letter, (target, item(way, WAY_LANGUAGE), content, item(way, WAY_VERDICTS))))
        return _made(Plan, (tuple(letters), (), item(course, COURSE_VERSION)))

    cdef object _template(self, Record record, long long now_ms, dict known):
        """The template if it is kept and fresh."""
        cdef char[WHOM_MAX + 4] key
        cdef Py_ssize_t size
        cdef const char *name = text_of(record, N_TEMPLATE, &size)
        cdef PyObject *found
        if size > WHOM_MAX:
            return None
        memcpy(key, record._start + TEMPLATE_VERSION, 4)
        memcpy(key + 4, name, size)
        named = PyBytes_FromStringAndSize(key, size + 4)
        found = PyDict_GetItem(known, named)
        if found is not NULL:
            return <object>found
        version = get_u32(record._start + TEMPLATE_VERSION)
        template = known[named] = _fresh(self._templates, (_str(record, N_TEMPLATE), version), now_ms)
        return template

    cdef object _decided(self, Record record, object template, int available, object stored):
        """The course of notifications like this one; None where something would be refused."""
        cdef char[2 * WHOM_MAX + 6] key
        cdef Py_ssize_t type_size, size
        cdef const char *type_text = text_of(record, N_TYPE, &type_size)
        cdef const char *language = text_of(record, N_LANGUAGE, &size)
        cdef PyObject *found
        cdef dict courses = template.courses
        if stored is not None and not size:
            language = PyUnicode_AsUTF8AndSize(item(stored, CONTACT_LANGUAGE), &size)
        if size > WHOM_MAX or type_size > WHOM_MAX:
            return None
        key[0], key[1] = record._start[PRIORITY], record._start[KLASS]
        key[2], key[3] = record._start[CHANNEL], <char>available
        key[4], key[5] = stored is not None, <char>size
        memcpy(key + 6, language, size)
        memcpy(key + 6 + size, type_text, type_size)
        wanted = PyBytes_FromStringAndSize(key, 6 + size + type_size)
        found = PyDict_GetItem(courses, wanted)
        if found is not NULL:
            return <object>found
        _str(record, N_TYPE)  # raises where it is not UTF-8
        if len(courses) >= _COURSES_MAX:
            courses.clear()
        wish = PyUnicode_DecodeUTF8(language, size, NULL)
        course = courses[wanted] = self._course(record, template, available, wish, "given" if stored is None else "stored")
        return course


cdef inline Py_ssize_t _size(Record record, int index) noexcept:
    cdef Py_ssize_t size
    text_of(record, index, &size)
    return size


cdef inline str _str(Record record, int index):
    cdef Py_ssize_t size
    cdef const char *text = text_of(record, index, &size)
    return PyUnicode_DecodeUTF8(text, size, NULL)


cdef inline int _given(Record record) noexcept:
    return (EMAIL_MASK if _size(record, N_EMAIL) else 0) | (SMS_MASK if _size(record, N_PHONE) else 0)


cdef int _stored(object contact) except -1:
    """Mask of the channels that a stored recipient has an address for; the inbox is not asked about."""
    cdef int mask = (EMAIL_MASK if item(contact, CONTACT_EMAIL) else 0) | (SMS_MASK if item(contact, CONTACT_PHONE) else 0)
    return mask | (PUSH_MASK if item(contact, CONTACT_DEVICES) else 0)


cdef bint _must_look_up(Record record) noexcept:
    cdef int given = _given(record), asked = record._start[CHANNEL]
    if not _size(record, N_RECIPIENT):
        return False
    return not (given and asked and not asked & ~(given | IN_APP_MASK) and _size(record, N_LANGUAGE))


cdef object _fresh(dict kept, object key, long long now_ms):
    """What a shelf keeps under the key while it is fresh; None where it must be fetched, or nobody has it."""
    cdef PyObject *found = PyDict_GetItem(kept, key)
    if found is NULL or <long long>item(<object>found, 1) <= now_ms:
        return None
    return item(<object>found, 0)


cdef object _targets(Record record, int channel, object stored):
    """Where a message goes on a channel that there is an address for: what was given comes before what is stored."""
    if channel == EMAIL:
        return (_target(EMAIL, _str(record, N_EMAIL) if _size(record, N_EMAIL) else item(stored, CONTACT_EMAIL)),)
    if channel == SMS:
        return (_target(SMS, _str(record, N_PHONE) if _size(record, N_PHONE) else item(stored, CONTACT_PHONE)),)
    if channel == PUSH:
        known = enumerate(loads(item(stored, CONTACT_DEVICES)))
        return tuple([Target(PUSH, token, platform, index) for index, (platform, token) in known])
    return (_target(IN_APP, _str(record, N_RECIPIENT)),)


cdef object _target(int channel, object address):
    return _made(Target, (channel, address, 0, 0))


cdef object _made(object kind, tuple values):
    """A named tuple, without the call of its class."""
    cdef object made = PyType_GenericAlloc(kind, len(values))
    cdef Py_ssize_t index
    for index in range(len(values)):
        value = values[index]
        Py_INCREF(value)
        PyTuple_SET_ITEM(made, index, value)
    return made
