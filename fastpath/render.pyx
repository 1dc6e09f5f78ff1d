"""Templates compiled once, rendered to packed parts, and a bounded cache of what was rendered. No I/O.

The words are in the twin, fastpath/pure/render.py; programs run in fastpath/machine.pyx.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject, PyObject_Hash

from fastpath.machine cimport Run, build_body, run_all
from fastpath.records cimport put_u32

import orjson

from fastpath.errors import RenderFailed
from fastpath.sandbox.limits import MAX_OUTPUT as _OUTPUT
from fastpath.templates import parse, run_jinja
from fastpath.values import ENTRY_OVERHEAD, Stats
from fastpath.values import SIGHTS as _SIGHTS

cdef Py_ssize_t MAX_OUTPUT = _OUTPUT
cdef Py_ssize_t OVERHEAD = ENTRY_OVERHEAD
cdef Py_ssize_t SIGHTS = _SIGHTS


@cython.final
cdef class Part:

    def __cinit__(self, part):
        self.number = part.number
        self.body = None if part.body is None else build_body(part.body)
        self.template = part.template


@cython.final
cdef class Compiled:

    def __init__(self, parts):
        self._parts = [Part(part) for part in parts]
        self.variables = frozenset().union(*(part.variables for part in parts))
        self.required = frozenset().union(*(part.variables - part.optional for part in parts))
        self.plain = all(part.body is not None for part in parts)

    def render(self, dict data not None):
        try:
            return self._render(data)
        except (TypeError, UnicodeEncodeError, RecursionError) as error:
            raise RenderFailed(f"{type(error).__name__}: {error}") from error

    cdef bytes _render(self, dict data):
        cdef Run run = Run.__new__(Run)
        cdef Part part
        cdef Py_ssize_t start
        cdef bytes text
        run.scope = data
        for part in self._parts:
            start = run.size
            run.limit = start + 5 + MAX_OUTPUT
            run.work = 0
            run.write("\0\0\0\0\0", 5)
            if part.body is None:
                text = run_jinja(part.template, data)
                run.write(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            else:
                run_all(part.body, run)
            run.out[start] = <char>part.number
            put_u32(<unsigned char *>run.out + start + 1, <unsigned int>(run.size - start - 5))
        return PyBytes_FromStringAndSize(run.out, run.size)


def compile_parts(parts not None):
    return Compiled(parse(parts))


@cython.final
cdef class RenderCache:

    def __cinit__(self, *_):
        self._sights = <Py_hash_t *>PyMem_Calloc(SIGHTS, sizeof(Py_hash_t))
        if self._sights is NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._sights)

    def __init__(self, Py_ssize_t max_bytes):
        self._max_bytes = max_bytes
        self._entries = {}
        self._root = Entry.__new__(Entry)
        self._root.before = self._root.after = self._root

    def render(self, tuple key not None, Compiled compiled not None, bytes data not None):
        return self.rendered(key, compiled, data)

    cdef bytes rendered(self, tuple key, Compiled compiled, bytes data):
        cdef tuple full = (key, data)
        cdef PyObject *found = PyDict_GetItem(self._entries, full)
        cdef Entry entry
        if found is not NULL:
            entry = <Entry>found
            entry.unlink()
            entry.link(self._root)
            self._hits += 1
            return entry.content
        self._misses += 1
        cdef bytes content = compiled.render(_loads(data))
        if self._seen(PyObject_Hash(full)):
            self._keep(full, content)
        return content

    def stats(self):
        return Stats(self._hits, self._misses, len(self._entries), self._bytes)

    cdef bint _seen(self, Py_hash_t sight) noexcept:
        cdef Py_hash_t *place = self._sights + (sight & (SIGHTS - 1))
        cdef bint seen = place[0] == sight
        place[0] = sight
        return seen

    cdef int _keep(self, object full, bytes content) except -1:
        cdef Entry entry = Entry.__new__(Entry)
        entry.full = full
        entry.content = content
        entry.cost = len(<bytes>(<tuple>full)[1]) + len(content) + OVERHEAD
        entry.link(self._root)
        self._entries[full] = entry
        self._bytes += entry.cost
        while self._bytes > self._max_bytes:
            entry = self._root.after
            entry.unlink()
            del self._entries[entry.full]
            self._bytes -= entry.cost
        return 0


@cython.final
cdef class Entry:

    cdef inline int unlink(self) except -1:
        self.before.after = self.after
        self.after.before = self.before
        return 0

    cdef inline int link(self, Entry root) except -1:
        """As the most recently used."""
        self.before = root.before
        self.after = root
        root.before.after = self
        root.before = self
        return 0


def fallback(str language not None, available not None, str default not None):
    cdef str tag = language.lower()
    if language in available:
        return language
    spelled = {each.lower(): each for each in reversed(available)}
    while tag:
        if tag in spelled:
            return spelled[tag]
        tag = tag.rpartition("-")[0]
    return default


cdef dict _loads(bytes data):
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RenderFailed(f"data is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RenderFailed("data is not a JSON object")
    return <dict>value
