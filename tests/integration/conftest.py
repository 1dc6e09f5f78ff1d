"""A whole running system, started when the first test asks for it and shared by those of one worker."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Up, system


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """`tidings up`: what tests leave in it, others see. Use names of your own."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-up-"))
    with system(folder / "data") as running:
        yield running
    shutil.rmtree(folder)
