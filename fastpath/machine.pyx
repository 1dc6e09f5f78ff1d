"""What runs a program (fastpath/programs.py) natively: its nodes, and the output they write. No I/O.

Does as pure/render.py's _Run does. Output goes to a buffer that grows in write() and nowhere else; every list is walked by
its own length, and Cython checks bounds here.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport Py_EQ, Py_GE, Py_GT, Py_LE, Py_LT, Py_NE, PyObject, PyObject_RichCompare
from libc.string cimport memcpy, strlen

from fastpath import programs
from fastpath.errors import RenderFailed, VariableMissing
from fastpath.sandbox.limits import MAX_OUTPUT as _OUTPUT, MAX_WORK as _WORK

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef Py_ssize_t MAX_OUTPUT = _OUTPUT
cdef Py_ssize_t MAX_WORK = _WORK
cdef object _MISSING = object()
cdef dict _OPERATORS = {
    "eq": Py_EQ, "ne": Py_NE, "lt": Py_LT, "lteq": Py_LE, "gt": Py_GT, "gteq": Py_GE, "in": IN, "notin": NOT_IN,
}

cdef const char *_ENTITIES[256]  # what stands for a byte in HTML; NULL: itself
_ENTITIES[ord("&")], _ENTITIES[ord("<")], _ENTITIES[ord(">")] = "&amp;", "&lt;", "&gt;"
_ENTITIES[ord("'")], _ENTITIES[ord('"')] = "&#39;", "&#34;"


cdef list build_body(statements):
    """The nodes of a Body."""
    return [_STATEMENTS[type(each)](each) for each in statements]


cdef Expression build(node):
    """The node of an Expression."""
    return _EXPRESSIONS[type(node)](node)


@cython.final
cdef class Run:

    def __dealloc__(self):
        PyMem_Free(self.out)

    cdef int write(self, const char *text, Py_ssize_t size) except -1:
        cdef Py_ssize_t room
        if size > self.limit - self.size:
            raise RenderFailed(f"more than {MAX_OUTPUT} bytes")
        if size > self.room - self.size:
            room = 2 * self.room + size + 1024
            grown = <char *>PyMem_Realloc(self.out, room)
            if grown is NULL:
                raise MemoryError
            self.out, self.room = grown, room
        memcpy(self.out + self.size, text, size)
        self.size += size
        return 0

    cdef int escape(self, const char *text, Py_ssize_t size) except -1:
        cdef Py_ssize_t at, begin = 0
        cdef const char *entity
        for at in range(size):
            entity = _ENTITIES[<unsigned char>text[at]]
            if entity is not NULL:
                self.write(text + begin, at - begin)
                self.write(entity, strlen(entity))
                begin = at + 1
        return self.write(text + begin, size - begin)

    cdef int spend(self, Py_ssize_t units) except -1:
        self.work += units
        if self.work > MAX_WORK:
            raise RenderFailed(f"takes too much work: more than {MAX_WORK} steps")
        return 0


cdef int run_all(list body, Run run) except -1:
    cdef Statement statement
    for statement in body:
        statement.run(run)
    return 0


cdef class Statement:

    cdef int run(self, Run run) except -1:
        raise AssertionError("a statement of no kind")


@cython.final
cdef class Literal(Statement):

    def __cinit__(self, bytes text):
        self.text = text

    cdef int run(self, Run run) except -1:
        return run.write(PyBytes_AS_STRING(self.text), PyBytes_GET_SIZE(self.text))


@cython.final
cdef class Print(Statement):

    def __cinit__(self, node):
        self.of = build(node.value)
        self.escape = node.escape

    cdef int run(self, Run run) except -1:
        cdef Py_ssize_t size
        value = self.of.value(run)
        kind = type(value)
        if kind is not str:
            if not (kind is int or kind is float or kind is bool or value is None or kind is list or kind is dict):
                raise RenderFailed(f"cannot print a {kind.__name__}")
            value = str(value)
        cdef const char *text = PyUnicode_AsUTF8AndSize(value, &size)
        return run.escape(text, size) if self.escape else run.write(text, size)


@cython.final
cdef class Branch(Statement):

    def __cinit__(self, node):
        self.tests = [build(test) for test, _ in node.cases]
        self.bodies = [build_body(body) for _, body in node.cases]
        self.otherwise = build_body(node.otherwise)

    cdef int run(self, Run run) except -1:
        cdef Py_ssize_t index
        for index in range(len(self.tests)):
            if (<Expression>self.tests[index]).value(run):
                return run_all(<list>self.bodies[index], run)
        return run_all(self.otherwise, run)


@cython.final
cdef class Loop(Statement):

    def __cinit__(self, node):
        self.target = node.target
        self.over = build(node.over)
        self.body = build_body(node.body)
        self.otherwise = build_body(node.otherwise)
        self.cost = node.cost

    cdef int run(self, Run run) except -1:
        cdef list items
        over = self.over.value(run)
        if not isinstance(over, (list, dict, str)):
            raise RenderFailed(f"cannot loop over a {type(over).__name__}")
        run.spend(self.cost * len(over))
        items = over if type(over) is list else list(over)
        if not items:
            return run_all(self.otherwise, run)
        around, index, length = run.scope, run.index, run.length
        run.scope = dict(around)
        self.passes(run, items)
        run.scope, run.index, run.length = around, index, length
        return 0

    cdef int passes(self, Run run, list items) except -1:
        cdef Py_ssize_t index
        run.length = len(items)
        for index in range(len(items)):
            run.index = index
            run.scope[self.target] = items[index]
            run_all(self.body, run)
        return 0


cdef class Expression:

    cdef object value(self, Run run):
        raise AssertionError("an expression of no kind")


@cython.final
cdef class Path(Expression):

    def __cinit__(self, node):
        self.node = node
        self.keys = node.keys

    cdef object value(self, Run run):
        return self.find(run, False)

    cdef object find(self, Run run, bint soft):
        """The variable; VariableMissing where there is none, or with `soft`, if only its last step fails, _MISSING."""
        cdef Py_ssize_t depth, last = len(self.keys) - 1
        found = run.scope
        for depth in range(last + 1):
            found = _step(found, self.keys[depth])
            if found is _MISSING:
                if soft and depth == last:
                    return _MISSING
                raise VariableMissing(self.node.named(depth))
        return found


cdef inline object _step(object inside, object key):
    cdef PyObject *found
    if isinstance(inside, dict):
        found = PyDict_GetItem(inside, key)
        return <object>found if found is not NULL else _MISSING
    if isinstance(inside, (list, str)) and isinstance(key, int) and 0 <= key < len(inside):
        return inside[key]
    return _MISSING


@cython.final
cdef class Counter(Expression):

    def __cinit__(self, node):
        self.which = programs.COUNTERS.index(node.name)

    cdef object value(self, Run run):
        if self.which == INDEX:
            return run.index + 1
        if self.which == INDEX0:
            return run.index
        if self.which == FIRST:
            return run.index == 0
        if self.which == LAST:
            return run.index == run.length - 1
        return run.length


@cython.final
cdef class Constant(Expression):

    def __cinit__(self, node):
        self.constant = node.value

    cdef object value(self, Run run):
        return self.constant


@cython.final
cdef class Default(Expression):

    def __cinit__(self, node):
        self.path = Path(node.path)
        self.otherwise = node.value.value
        self.falsy = node.falsy

    cdef object value(self, Run run):
        found = self.path.find(run, True)
        return self.otherwise if found is _MISSING or (self.falsy and not found) else found


@cython.final
cdef class Defined(Expression):

    def __cinit__(self, node):
        self.path = Path(node.path)
        self.wanted = node.wanted

    cdef object value(self, Run run):
        return (self.path.find(run, True) is not _MISSING) == self.wanted


@cython.final
cdef class Not(Expression):

    def __cinit__(self, node):
        self.of = build(node.value)

    cdef object value(self, Run run):
        return not self.of.value(run)


@cython.final
cdef class Either(Expression):

    def __cinit__(self, node):
        self.left, self.right, self.both = build(node.left), build(node.right), node.both

    cdef object value(self, Run run):
        found = self.left.value(run)
        return self.right.value(run) if bool(found) == self.both else found


@cython.final
cdef class Compare(Expression):

    def __cinit__(self, node):
        self.left, self.right = build(node.left), build(node.right)
        self.operator = _OPERATORS[node.operator]

    cdef object value(self, Run run):
        left, right = self.left.value(run), self.right.value(run)
        if self.operator == IN:
            return left in right
        if self.operator == NOT_IN:
            return left not in right
        return PyObject_RichCompare(left, right, self.operator)


@cython.final
cdef class Choice(Expression):

    def __cinit__(self, node):
        self.test = build(node.test)
        self.then = build(node.then)
        self.otherwise = build(node.otherwise)

    cdef object value(self, Run run):
        return self.then.value(run) if self.test.value(run) else self.otherwise.value(run)


cdef dict _STATEMENTS = {bytes: Literal, programs.Print: Print, programs.Branch: Branch, programs.Loop: Loop}
cdef dict _EXPRESSIONS = {
    programs.Path: Path, programs.Counter: Counter, programs.Constant: Constant, programs.Default: Default, programs.Defined: Defined,
    programs.Not: Not, programs.Either: Either, programs.Compare: Compare, programs.Choice: Choice,
}
