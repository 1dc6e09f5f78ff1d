"""The filters and tests of Jinja2 that templates may use, each spending from the purse before it works. Pure.

Left out are those that reach for attributes (attr), are different each time (random) or write markup of their own.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast

from jinja2 import Undefined, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import markup_join, str_join
from jinja2.tests import TESTS

from fastpath.errors import RenderFailed
from fastpath.sandbox.limits import TEXT_SHIFT, Purse, before_formatting

Function = Callable[..., Any]

# Filters that the transformed tree uses (syntax.py). A space keeps them out of what a template can write.
SPEND, WEIGH, VISIT, CONCAT = "spend work", "weigh value", "visit items", "concat values"

_MAX_DIGITS = 1000  # of a number read from text
_REFUSED = frozenset({"attr", "pprint", "random", "urlize", "xmlattr"})
_CHEAP = frozenset({"abs", "count", "d", "default", "first", "last", "length", "safe"})  # as quick for big values as for small


_FILTERS = cast(Mapping[str, Function], FILTERS)
_TESTS = cast(Mapping[str, Function], TESTS)


def filters() -> dict[str, Function]:
    """Every filter by its name."""
    guarded = {name: _guarded(function, _BEFORE.get(name)) for name, function in _FILTERS.items() if name not in _REFUSED}
    guarded |= {name: _FILTERS[name] for name in _CHEAP}
    return guarded | {SPEND: _spend, WEIGH: _weigh, VISIT: _visit, CONCAT: _concat}


def tests() -> dict[str, Function]:
    """Every test by its name. Comparing may look at everything inside of what it compares."""
    return {name: _guarded(function, None) for name, function in _TESTS.items()}


def _guarded(function: Function, before: Callable[..., None] | None) -> Function:
    """`function` behind the purse. Jinja2 says what a filter wants as its first argument by `jinja_pass_arg`."""
    wants = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @pass_context
    @wraps(function, assigned=("__name__", "__doc__"), updated=())
    def run(purse: Purse, value: Any, *args: Any, **kwargs: Any) -> Any:
        value = purse.listed(value)
        purse.spend(1)
        purse.weigh(value, *args, *kwargs.values())
        _before_attributes(purse, value, *args, *kwargs.values())
        if before is not None:
            before(purse, value, *args, **kwargs)
        if wants is None:
            return function(value, *args, **kwargs)
        first = {"context": purse, "eval_context": purse.eval_ctx, "environment": purse.environment}[wants]
        return function(first, value, *args, **kwargs)

    return run


def _before_attributes(purse: Purse, value: Any, *given: Any) -> None:
    """Any text given to a filter of many items may be a path that is walked for each of them."""
    if isinstance(value, (list, tuple, dict, range)):
        purse.spend(sum(len(value) * (each.count(".") + each.count(",")) for each in given if isinstance(each, str)))


def _before_filling(purse: Purse, value: Any, number: Any = 80, *args: Any, **kwargs: Any) -> None:
    """Filters that make as much as a number says: batch, center, round."""
    for each in (number, *kwargs.values()):
        if isinstance(each, int):
            purse.spend(abs(each))


def _before_indent(purse: Purse, value: Any, width: Any = 4, *args: Any, **kwargs: Any) -> None:
    lines = str(value).count("\n") + 1
    purse.spend((width if isinstance(width, int) else len(str(width))) * lines >> TEXT_SHIFT)


def _before_join(purse: Purse, value: Any, d: Any = "", *args: Any, **kwargs: Any) -> None:
    if hasattr(value, "__len__"):
        purse.spend(len(str(d)) * len(value) >> TEXT_SHIFT)


def _before_int(purse: Purse, value: Any, *args: Any, **kwargs: Any) -> None:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise RenderFailed("a number grows too large")


def _before_replace(purse: Purse, value: Any, old: Any, new: Any, *args: Any, **kwargs: Any) -> None:
    purse.spend((str(value).count(str(old)) + 1) * len(str(new)) >> TEXT_SHIFT)


def _before_striptags(purse: Purse, value: Any) -> None:
    text = str(value)
    purse.spend(text.count("<") * len(text) >> 8)  # each tag found moves the rest of the text


def _before_sum(purse: Purse, value: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, (int, float)):
        raise RenderFailed("sum adds numbers only")  # lists would be copied for each one added


def _before_trim(purse: Purse, value: Any, chars: Any = "") -> None:
    purse.spend(len(str(value)) * len(str(chars)) >> 8)  # each character is looked for among all of them


def _before_wordwrap(purse: Purse, value: Any, width: Any = 79, *args: Any, **kwargs: Any) -> None:
    purse.spend(len(str(value)) ** 2 // max(int(width), 1) >> 12)  # a long word is copied for each line cut off


def _before_format(purse: Purse, value: Any, *args: Any, **kwargs: Any) -> None:
    before_formatting(purse, str(value), *args, *kwargs.values())


def _before_tojson(purse: Purse, value: Any, indent: Any = None) -> None:
    if indent is not None:
        raise RenderFailed("tojson takes no indent here")


_BEFORE: Mapping[str, Callable[..., None]] = {
    "batch": _before_filling,
    "center": _before_filling,
    "format": _before_format,
    "indent": _before_indent,
    "int": _before_int,
    "join": _before_join,
    "replace": _before_replace,
    "round": _before_filling,
    "striptags": _before_striptags,
    "sum": _before_sum,
    "tojson": _before_tojson,
    "trim": _before_trim,
    "wordwrap": _before_wordwrap,
}


@pass_context
def _spend(purse: Purse, units: int) -> None:
    purse.spend(units)


@pass_context
def _weigh(purse: Purse, value: Any) -> Any:
    purse.weigh(value)
    return value


@pass_context
def _visit(purse: Purse, value: Any) -> Any:
    """What a loop goes through; its items are paid for at once, as a filter of the loop may drop them all."""
    value = purse.listed(value)
    if hasattr(type(value), "__len__") and not isinstance(value, Undefined):
        purse.spend(len(value))
    return value


@pass_context
def _concat(purse: Purse, values: list[Any]) -> str:
    purse.weigh(values)
    return markup_join(values) if purse.eval_ctx.autoescape else str_join(values)
