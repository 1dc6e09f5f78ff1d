# Declares fastpath/machine.pyx: the nodes of programs (fastpath/programs.py) and what runs them.

cdef class Run:  # one rendering: its output so far, the variables in sight, the work done for the part in hand
    cdef dict scope
    cdef Py_ssize_t work
    cdef char *out
    cdef Py_ssize_t size
    cdef Py_ssize_t room
    cdef Py_ssize_t limit  # `size` may not pass it
    cdef Py_ssize_t index  # of the innermost loop
    cdef Py_ssize_t length

    cdef int write(self, const char *text, Py_ssize_t size) except -1
    cdef int escape(self, const char *text, Py_ssize_t size) except -1
    cdef int spend(self, Py_ssize_t units) except -1


cdef class Expression:
    cdef object value(self, Run run)


cdef class Path(Expression):
    cdef tuple keys
    cdef object node

    cdef object find(self, Run run, bint soft)


cdef class Counter(Expression):
    cdef int which  # in programs.COUNTERS


cdef enum:  # its order
    INDEX
    INDEX0
    FIRST
    LAST


cdef class Constant(Expression):
    cdef object constant


cdef class Default(Expression):
    cdef Path path
    cdef object otherwise
    cdef bint falsy


cdef class Defined(Expression):
    cdef Path path
    cdef bint wanted


cdef class Not(Expression):
    cdef Expression of


cdef class Either(Expression):
    cdef Expression left
    cdef Expression right
    cdef bint both


cdef class Compare(Expression):
    cdef Expression left
    cdef Expression right
    cdef int operator  # of the C API's rich comparison, or one of the two below


cdef enum:
    IN = 100
    NOT_IN = 101


cdef class Choice(Expression):
    cdef Expression test
    cdef Expression then
    cdef Expression otherwise


cdef class Statement:
    cdef int run(self, Run run) except -1


cdef class Literal(Statement):
    cdef bytes text


cdef class Print(Statement):
    cdef Expression of
    cdef bint escape


cdef class Branch(Statement):
    cdef list tests
    cdef list bodies
    cdef list otherwise


cdef class Loop(Statement):
    cdef object target
    cdef Expression over
    cdef list body
    cdef list otherwise
    cdef Py_ssize_t cost

    cdef int passes(self, Run run, list items) except -1


cdef list build_body(statements)
cdef Expression build(node)
cdef int run_all(list body, Run run) except -1
