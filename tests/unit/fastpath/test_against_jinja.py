"""Both implementations give the bytes that Jinja2 gives, for programs as for what they leave to the sandbox."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined, TemplateError

from fastpath.errors import RenderFailed
from fastpath.pure.records import unpack_parts
from tests.unit.fastpath.twins import NATIVE, PURE, TEXT, THOROUGH

FEW = settings(THOROUGH, max_examples=60)  # each compiles a template six times
STOCK = {html: Environment(autoescape=html, undefined=StrictUndefined) for html in (False, True)}

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), 1 << 63), st.floats(allow_nan=False, allow_infinity=False), TEXT,
    st.sampled_from(["<b>", "a&b", "'\"", "&amp;", "", " \n", "ß€😀"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)), max_leaves=6
)
DATA = st.fixed_dictionaries({"a": st.lists(VALUES, max_size=3), "b": st.dictionaries(NAMES, VALUES, max_size=3), "c": LEAVES})

LITERALS = st.sampled_from(["x", "<p>", " \n", "\r\n", "%", "{ ", "}}", "{#  #}", "{% raw %}{{ a }}{% endraw %}", "ü"])
PATHS = st.builds(
    lambda name, steps: name + "".join(steps),
    NAMES,
    st.one_of(st.just([]), st.just([]), st.lists(st.sampled_from([".a", ".b", "['c']", "[0]", ".1"]), max_size=2)),
)
CONSTANTS = st.sampled_from(["1", "'a'", "''", "none", "true", "0", "1.5", "'<'", '"\'"'])
VALUE = st.recursive(
    st.one_of(PATHS, CONSTANTS),
    lambda inner: st.one_of(
        st.builds("(not {})".format, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({} {} {})".format, PATHS, st.sampled_from(["==", "!=", "<", ">=", "in", "not in"]), CONSTANTS),
        st.builds("({} {} {})".format, CONSTANTS, st.sampled_from(["==", "<=", ">", "in"]), PATHS),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({}|default({}))".format, PATHS, CONSTANTS),
        st.builds("({}|d({}, true))".format, PATHS, CONSTANTS),
        st.builds("({} is {})".format, PATHS, st.sampled_from(["defined", "undefined", "not defined"])),
    ),
    max_leaves=4,
)
PRINTED = st.one_of(st.builds("{{{{ {} }}}}".format, VALUE), st.builds("{{{{- ({})|e }}}}".format, VALUE))
COUNTED = st.sampled_from(["{{ loop.index }}", "{{ loop.index0 }}", "{{ loop.first }}", "{{ loop.last }}", "{{ loop.length }}"])
PIECES = st.recursive(
    st.one_of(LITERALS, PRINTED),
    lambda inner: st.one_of(
        st.builds("{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}".format, VALUE, inner, VALUE, inner, inner),
        st.builds("{{% for {} in {} %}}{}{}{{% endfor %}}".format, NAMES, VALUE, inner, st.one_of(COUNTED, inner)),
        st.builds("{{% for {} in {} %}}{}{{% else %}}{}{{% endfor %}}".format, NAMES, PATHS, inner, inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=8,
)
PROGRAMS = st.lists(PIECES, min_size=1, max_size=5).map("".join)

# What only Jinja2 can render, and the sandbox rewrites on the way.
BEYOND = st.lists(
    st.one_of(
        PIECES,
        st.builds(
            "{{{{ ({})|{} }}}}".format, VALUE, st.sampled_from(["upper", "string", "length", "list|join('<')", "tojson", "e|e"])
        ),
        st.builds("{{{{ {} ~ {} }}}}".format, VALUE, VALUE),
        st.builds("{{{{ {} {} {} }}}}".format, VALUE, st.sampled_from(["==", "<", "in", "+", "*"]), VALUE),
        st.builds("{{% set {} = {} %}}".format, NAMES, VALUE),
        st.builds("{{% set {} %}}{}{{% endset %}}".format, NAMES, PIECES),
        st.builds("{{% for {} in {} if {} %}}{}{{% endfor %}}".format, NAMES, PATHS, VALUE, PIECES),
        st.builds("{{% for k, v in {}.items() %}}{{{{ k }}}}={{{{ v }}}}{{% endfor %}}".format, PATHS),
        st.builds("{{% macro m(x) %}}{}{{{{ x }}}}{{% endmacro %}}{{{{ m({}) }}}}".format, PIECES, VALUE),
        st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, PIECES),
    ),
    min_size=1,
    max_size=4,
).map("".join)


def jinja(source: str, html: bool, data: dict[str, Any]) -> bytes | None:
    try:
        return STOCK[html].from_string(source).render(data).encode()
    except (TemplateError, TypeError, OverflowError, AttributeError):
        return None


def ours(implementation: Any, source: str, html: bool, data: dict[str, Any]) -> bytes | str:
    """The bytes, or the failure in its words."""
    compiled = implementation.render.compile_parts([(1, source, html)])
    try:
        return unpack_parts(compiled.render(data))[1]
    except RenderFailed as error:
        return f"{type(error).__name__}: {error}"


def compare(source: str, html: bool, data: dict[str, Any]) -> None:
    native, expected = ours(NATIVE, source, html, data), jinja(source, html, data)
    assert native == ours(PURE, source, html, data)
    assert expected == (native if isinstance(native, bytes) else None)


@FEW
@given(PROGRAMS, st.booleans(), DATA)
@example("{{ a }}\n", True, {"a": 1e16})
@example("{{ a }}\n\n", True, {"a": ["<", {"b": None}]})
@example("{%- if a -%}\n x \n{%- endif %}\r\ny", False, {"a": 1})
@example("{{ a|e }}{{ a }}", False, {"a": "<&>'\""})
@example("{{ '<'|e }}{{ '<' }}", True, {})
@example("{% for a in a %}{% for a in a %}{{ a }}{% endfor %}{{ a }}{% endfor %}{{ a }}", False, {"a": ["xy", "z"]})
def test_programs(source: str, html: bool, data: dict[str, Any]) -> None:
    assert NATIVE.render.compile_parts([(1, source, html)]).plain
    compare(source, html, data)


@FEW
@given(BEYOND, st.booleans(), DATA)
def test_the_rest(source: str, html: bool, data: dict[str, Any]) -> None:
    compare(source, html, data)
