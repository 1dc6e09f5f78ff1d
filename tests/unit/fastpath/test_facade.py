import pkgutil
import subprocess
import sys
from importlib import import_module

import fastpath
from fastpath import pure, records, render

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
    twins = [import_module(f"fastpath.pure.{found.name}") for found in pkgutil.iter_modules(pure.__path__)]
    names = set(fastpath.__all__) - {"NATIVE", "WHY"}
    assert {name for name in names if any(hasattr(each, name) for each in (*twins, fastpath.errors, fastpath.values))} == names
