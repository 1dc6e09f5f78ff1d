import subprocess
import sys

import fastpath
from fastpath import records, render
from fastpath.pure import dedupe, resp, router
from fastpath.pure import records as pure_records
from fastpath.pure import render as pure_render

HIDE = """
import sys
sys.modules["fastpath.router"] = None  # one module that was not built
import fastpath, fastpath.pure.records
assert not fastpath.NATIVE
assert "fastpath.router" in fastpath.WHY, fastpath.WHY
assert fastpath.Record is fastpath.pure.records.Record  # all of the twin, not half of each
"""


def test_takes_the_native_modules() -> None:
    assert fastpath.NATIVE
    assert fastpath.WHY == ""
    assert fastpath.Record is records.Record
    assert fastpath.RenderCache is render.RenderCache


def test_takes_the_whole_twin_where_one_module_is_missing() -> None:
    subprocess.run([sys.executable, "-c", HIDE], check=True, timeout=30)


def test_the_twin_has_every_name() -> None:
    modules = (pure_records, pure_render, dedupe, resp, router, fastpath.errors, fastpath.values)
    names = set(fastpath.__all__) - {"NATIVE", "WHY"}
    assert {name for name in names if any(hasattr(module, name) for module in modules)} == names
