"""Every test of a module runs on the native one and on its twin. A native build that is missing is an error, not a skip."""

import pytest

from tests.unit.fastpath.twins import NATIVE, PURE, Implementation


@pytest.fixture(params=[NATIVE, PURE], ids=["native", "pure"])
def fast(request: pytest.FixtureRequest) -> Implementation:
    implementation: Implementation = request.param
    return implementation
