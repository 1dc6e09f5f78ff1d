"""The environment of every template: what a value may be asked, and what happens when a variable is missing. Pure."""

from typing import Any, cast

from jinja2 import StrictUndefined, Undefined, pass_context
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from fastpath.errors import RenderFailed, VariableMissing
from fastpath.sandbox import guards
from fastpath.sandbox.limits import Purse, before_formatting, before_multiplying, before_raising

PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict})

# What may be called on text: nothing that makes more of it than there was.
_TEXT_METHODS = frozenset(
    """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle
    isupper lower lstrip partition removeprefix removesuffix rfind rindex rpartition rsplit rstrip split splitlines startswith
    strip swapcase title upper""".split()  # noqa: SIM905
)
_DICT_METHODS = frozenset({"get", "items", "keys", "values"})
_LIST_METHODS = frozenset({"count", "index", "grouper", "list"})  # the last two belong to what groupby gives


class Missing(StrictUndefined):
    """A variable that the data lacks: any use of it but `default` and `is defined` fails with its name."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        def fail(_message: str) -> ValueError:
            return RenderFailed(hint) if hint else VariableMissing(str(name))

        super().__init__(hint, obj, name, fail)  # type: ignore[arg-type]  # it is only ever called with a message


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's environment, narrowed. `a.b` is data, as if written `a["b"]` (see syntax.py); `a.b()` calls a method."""

    context_class = Purse
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, html: bool) -> None:
        super().__init__(autoescape=html, undefined=Missing, finalize=_printed)
        self.html = html
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}
        self.filters.clear()
        self.filters.update(guards.filters())
        self.tests.clear()
        self.tests.update(guards.tests())

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What `obj[argument]` and `obj.argument` are: data, never a method of it.

        Only text and numbers may index: hashing anything else may take for ever.
        """
        if not isinstance(argument, (str, int, float, Undefined)):
            raise RenderFailed(f"cannot use a {type(argument).__name__} as an index")
        if type(obj) not in PLAIN_TYPES:
            return super().getitem(obj, argument)
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=str(argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether an attribute is known to be harmless."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, dict):
            return attr in _DICT_METHODS
        if isinstance(obj, (list, tuple)):
            return attr in _LIST_METHODS
        return isinstance(obj, (LoopContext, Namespace)) and not attr.startswith("_")

    def wrap_str_format(self, value: Any) -> None:
        """No str.format, not even wrapped: the format filter is there, and its widths are checked."""

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a loop, a global or a harmless method."""
        purse = cast(Purse, context)
        on = getattr(obj, "__self__", None)
        purse.spend(1)
        purse.weigh(on, *args, *kwargs.values())
        if isinstance(on, str):  # strip looks for each character among all of those given
            purse.spend(sum(len(on) * len(each) >> 8 for each in args if isinstance(each, str)))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator whose result can be bigger than what it was given."""
        purse = cast(Purse, context)
        if operator == "*":
            before_multiplying(purse, left, right)
        elif operator == "**":
            before_raising(left, right)
        elif operator == "%" and isinstance(left, str):
            before_formatting(purse, left, right)
        else:
            purse.weigh(left, right)
        return super().call_binop(context, operator, left, right)


@pass_context
def _printed(purse: Purse, value: Any) -> Any:
    """What a template prints: text, numbers and data, paid for by size."""
    if isinstance(value, (str, int, float, list, dict, tuple)):
        purse.weigh(value)
    elif value is not None and not isinstance(value, Undefined):
        raise RenderFailed(f"cannot print a {type(value).__name__}")
    return value


TEXT = Sandbox(html=False)
HTML = Sandbox(html=True)
