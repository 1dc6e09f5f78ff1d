"""Templates that mean harm: each is refused or stopped within the limits of one rendering, and none reaches Python."""

import resource
from typing import Any

import pytest

from fastpath import render
from fastpath.errors import RenderFailed, TemplateInvalid, VariableMissing
from fastpath.pure.records import unpack_parts
from fastpath.templates import MAX_SOURCE
from tests.unit.fastpath.twins import NATIVE, PURE

DATA: dict[str, Any] = {"a": 1, "b": [1], "d": {}, "x": "v", "deep": [[["<"]]]}
GROW = "{% set ns = namespace(x={start}) %}{% for i in range(100) %}{% set ns.x = {step} %}{% endfor %}"


def grown(start: str, step: str, use: str) -> str:
    return GROW.replace("{start}", start).replace("{step}", step) + use


def shown(source: str) -> str:
    return unpack_parts(render.compile_parts([(1, source, True)]).render(DATA))[1].decode()


@pytest.fixture(autouse=True)
def little_memory() -> Any:
    """Room for 200 MB more than now: a template that takes it all raises MemoryError instead of stopping the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [1] * 1000000000 }}",
        "{{ ['a' * 1000] * 1000000 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ 0xff ** 100000 }}",
        grown("3", "ns.x * ns.x", "{{ ns.x }}"),
        grown("'ab'", "ns.x ~ ns.x", ""),
        grown("'ab'", "ns.x + ns.x", ""),
        grown("'ab'", "ns.x|replace('a', 'aa')", ""),
        grown("'ab'", "'%s%s'|format(ns.x, ns.x)", ""),
        grown("'ab'", "'%s%s' % (ns.x, ns.x)", ""),
        grown("['ab']", "ns.x + ns.x", ""),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x|string|length }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x|tojson }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x|join }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ 'x' ~ ns.x }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ '%s' % ns.x }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x == [ns.x, ns.x] }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x in [1] }}"),
        grown("['ab']", "[ns.x, ns.x]", "{{ ns.x is eq(b) }}"),
        grown("['ab']", "{'k': ns.x, 'l': ns.x}", "{{ ns.x }}"),
        grown("('ab',)", "(ns.x, ns.x)", "{{ {ns.x: 1} }}"),
        grown("('ab',)", "(ns.x, ns.x)", "{{ d[ns.x] }}"),
        grown("('ab',)", "(ns.x, ns.x)", "{{ d.get(ns.x) }}"),
        grown("('ab',)", "(ns.x, ns.x)", "{{ [ns.x]|unique|list }}"),
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
        "{% set r = range(10000)|list %}{% for i in range(100) %}{{ r|sort|length }}{% endfor %}",
        "{% set r = range(10000)|list %}{% for i in range(100) %}{% if 5 in r %}{% endif %}{% endfor %}",
        "{% set r = range(10000)|list %}{% for i in range(100) %}{% set s = r[1:] %}{% endfor %}",
        "{% for i in range(10000) %}" + "{% if x %}{% endif %}" * 100 + "{% endfor %}{{ x|upper }}",
        "{% macro m() %}" + "{% if x %}{% endif %}" * 100 + "{% endmacro %}{% for i in range(9000) %}{{ m() }}{% endfor %}",
        "{% macro m() %}{% for i in range(9000) %}{{ caller() }}{% endfor %}{% endmacro %}"
        "{% call m() %}" + "{% if x %}{% endif %}" * 100 + "{% endcall %}",
        "{% set s %}{% for i in range(100000) %}" + "a" * 1000 + "{% endfor %}{% endset %}",
        "{% filter upper %}{% for i in range(100000) %}" + "a" * 1000 + "{% endfor %}{% endfilter %}",
        "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "{{ 'a'|center(1000000000) }}",
        "{{ 'a'|indent(1000000000, true) }}",
        "{{ [1]|batch(1000000000, 'x')|list }}",
        "{{ [1]|slice(1000000000)|list }}",
        "{{ 1.5|round(1000000000) }}",
        "{{ 1.5|round(precision=1000000000) }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ '%.1000000000f' % 1.5 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%(a(b))1000000000d' % {'a(b)': 1} }}",
        "{{ ('a' * 1000)|replace('a', 'b' * 1000)|replace('b', 'c' * 1000) }}",
        "{{ (['a' * 100000] * 1000)|join }}",
        "{{ range(10000)|join('x' * 100000) }}",
        "{{ (['a' * 100000] * 1000)|map('upper')|join }}",
        "{{ range(100000)|map('string')|map('center', 1000)|join }}",
        "{{ ('a' * 300000)|wordwrap(1) }}",
        "{{ ('a' * 300000)|trim('b' * 300000) }}",
        "{{ ('a' * 300000).strip('b' * 300000) }}",
        "{{ ('<!--' * 100000)|striptags }}",
        "{{ ([[1]] * 100000)|sum(start=[]) }}",
        "{{ [[1]]|sum(start=[]) }}",
        "{{ ([d] * 10000)|map(attribute='a' ~ '.a' * 10000, default=d)|list }}",
        "{{ [1]|tojson(1000000000) }}",
        "{{ range(1000000) }}",
    ],
)
def test_work_is_limited(source: str) -> None:
    with pytest.raises(RenderFailed) as caught:
        shown(source)
    assert "MemoryError" not in str(caught.value)


@pytest.mark.parametrize("source", ["{{ ('f' * 2000)|int(0, 16) }}", "{{ 2 ** 4097 }}", "{{ 2 ** 4000 * 2 ** 4000 }}"])
def test_numbers_are_limited(source: str) -> None:
    with pytest.raises(RenderFailed, match="a number grows too large"):
        shown(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ a.__class__.__mro__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ x|attr('__class__') }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% block x %}{% endblock %}",
        "{{ x|pprint }}",
        "{{ b|random }}",
        "{{ 0x" + "f" * 2000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "not " * 5000 + "x }}",
        "{{ a" + "+a" * 5000 + " }}",
        "{{ a" + ".a" * 5000 + " }}",
        "{% for i in b if i %}" * 30 + "{% endfor %}" * 30,
        "\ud800",
        "x" * (MAX_SOURCE + 1),
    ],
)
def test_not_a_template(source: str) -> None:
    with pytest.raises(TemplateInvalid):
        render.compile_parts([(1, source, False)])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''['__class__'] }}",
        "{{ b|map(attribute='__class__')|first }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ ''.format }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'abc'.encode() }}",
        "{{ d.update({}) }}",
        "{{ b.append(1) }}",
        "{{ lipsum(n=100) }}",
        "{{ cycler }}",
        "{{ range }}",
        "{{ x.upper }}",
        "{{ d.items }}",
        "{{ namespace() }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% for i in b %}{{ loop }}{% endfor %}",
        "{% for i in b %}{{ loop._iterator }}{% endfor %}",
        "{{ b|map('upper') }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns.x }}",
    ],
)
def test_python_stays_out_of_reach(source: str) -> None:
    with pytest.raises((RenderFailed, VariableMissing)):
        shown(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '%.2f'|format(9.5) }} {{ '%5.1f%%' % 50 }} {{ '%s-%s' % (1, 'x') }}", "9.50  50.0% 1-x"),
        ("{{ 'abc'.upper() }} {{ 'a b'.split()|join('+') }} {{ d.get('k', 'none') }}", "ABC a+b none"),
        ("{% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "6"),
        (
            "{% for g in [{'k': 1, 'v': 2}, {'k': 1, 'v': 3}]|groupby('k') %}{{ g.grouper }}:{{ g.list|length }}{% endfor %}",
            "1:2",
        ),
        ("{% for n in deep recursive %}{{ loop(n) if n is not string else n }}{% endfor %}", "&lt;"),
        ("{% macro button(t) %}[{{ t }}]{% endmacro %}{{ button('ok') }}", "[ok]"),
        ("{% for row in [1, 2, 3]|batch(2, '-') %}{{ row|join }} {% endfor %}", "12 3- "),
        ("{{ 2.567|round(1) }} {{ [3, 1]|sort|first }} {{ {'a': 1}|tojson }} {{ 'a'|center(3) }}|", '2.6 1 {"a": 1}  a |'),
        ("{{ undefined_here|default('x') }} {{ 'yes' if nothing is defined else 'no' }}", "x no"),
        ("{{ 2 ** 10 }} {{ 7 // 2 }} {{ 'ab' * 2 }} {{ [1] + [2] }}", "1024 3 abab [1, 2]"),
    ],
)
def test_honest_templates_are_not_in_the_way(source: str, expected: str) -> None:
    assert shown(source) == expected


def test_limits_are_for_one_rendering_not_for_a_template() -> None:
    compiled = render.compile_parts([(1, "{% for i in range(30000) if i > 1 %}{{ '' }}{% endfor %}", False)])
    assert {compiled.render(DATA) for _ in range(5)} == {b"\1\0\0\0\0"}


def test_loops_in_loops_are_limited_in_programs_too() -> None:
    source = "{% for i in x %}{% for j in x %}{% for k in x %}{% endfor %}{% endfor %}{% endfor %}"
    for implementation in (NATIVE, PURE):
        compiled = implementation.render.compile_parts([(1, source, False)])
        assert compiled.plain
        with pytest.raises(RenderFailed, match="work"):
            compiled.render({"x": "y" * 1000})
