"""What of Jinja2's language is allowed, and where a tree spends: rewrites the parsed tree before Jinja2 compiles it. Pure."""

from jinja2 import nodes
from jinja2.visitor import NodeTransformer, NodeVisitor

from fastpath.errors import TemplateInvalid
from fastpath.sandbox.environment import Sandbox
from fastpath.sandbox.guards import CONCAT, SPEND, VISIT, WEIGH
from fastpath.sandbox.limits import MAX_BITS, TEXT_SHIFT

_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
}


def check(tree: nodes.Template, sandbox: Sandbox) -> None:
    """Refuse what templates may not say.

    Raises:
        TemplateInvalid: another template is asked for, a filter or test does not exist, a name reaches for Python's insides.
    """
    _Check(sandbox).visit(tree)


def bounded(tree: nodes.Template) -> nodes.Template:
    """The same template, spending from its purse (changes `tree`)."""
    _Bounded().visit(tree)
    return tree


class _Check(NodeVisitor):
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def generic_visit(self, node: nodes.Node, *args: object, **kwargs: object) -> None:
        if type(node) in _REFUSED:
            raise TemplateInvalid(f"{_REFUSED[type(node)]} is not available here: a template stands alone", node.lineno)
        super().generic_visit(node)

    def visit_Filter(self, node: nodes.Filter) -> None:
        if node.name not in self._sandbox.filters:
            raise TemplateInvalid(f"no filter named {node.name!r}", node.lineno)
        self.generic_visit(node)

    def visit_Test(self, node: nodes.Test) -> None:
        if node.name not in self._sandbox.tests:
            raise TemplateInvalid(f"no test named {node.name!r}", node.lineno)
        self.generic_visit(node)

    def visit_Const(self, node: nodes.Const) -> None:
        if isinstance(node.value, int) and node.value.bit_length() > MAX_BITS:
            raise TemplateInvalid("a number with too many digits", node.lineno)

    def visit_Getattr(self, node: nodes.Getattr) -> None:
        if node.attr.startswith("__"):
            raise TemplateInvalid(f"{node.attr!r} is not available here", node.lineno)
        self.generic_visit(node)


class _Bounded(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _through(node.iter, VISIT)
        node.body.insert(0, _spends(node.body, node.lineno))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _spends(node.body, node.lineno))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _spends(node.body, node.lineno))
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        called = node.node
        self.generic_visit(node)
        if isinstance(called, nodes.Getattr):
            called.node = self.visit(called.node)
            node.node = called  # a method: the one place where a.b is not data
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Getitem(node.node, nodes.Const(node.attr, lineno=node.lineno), node.ctx, lineno=node.lineno)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _through(nodes.List(node.nodes, lineno=node.lineno), CONCAT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = _weighed(node.key)  # a key is hashed
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _weighed(node.node)  # a slice is copied
        return node


def _through(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _through(node, WEIGH)


def _spends(body: list[nodes.Node], lineno: int) -> nodes.Node:
    """A statement that pays for one pass through `body`."""
    cost = 1 + sum(_size(each) for each in body)
    return nodes.ExprStmt(_through(nodes.Const(cost, lineno=lineno), SPEND), lineno=lineno)


def _size(node: nodes.Node) -> int:
    text = len(node.data) >> TEXT_SHIFT if isinstance(node, nodes.TemplateData) else 0
    return 1 + text + sum(_size(child) for child in node.iter_child_nodes())
