"""Fixtures: a real Valkey and a real PostgreSQL for each test session, in its own temporary folder, on free ports.

TIDINGS_REDIS_URL / TIDINGS_DATABASE_URL point to others instead. Of that Redis the URL's database number is flushed before
every test; in that PostgreSQL databases are made and dropped.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from core.config import Settings, load_settings
from tests import blocking
from tests.helpers import psql, redis_command, with_database
from tidings import embedded

if TYPE_CHECKING:
    from core.store import Store
    from ledger import Ledger

# Tests start many Python processes; they find their bytecode in one place that outlives the run.
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parent.parent / ".pytest_cache" / "bytecode"))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile("tidings", deadline=None, print_blob=True)  # tests assert behaviour, never time
hypothesis.settings.load_profile("tidings")

SECRET = "only-for-tests-0123456789abcdef"


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A blocking call in the event loop fails the test."""
    with pytest.MonkeyPatch.context() as patch:
        blocking.watch(patch)
        yield


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for the servers' data, outside of pytest's own: its path stays short and every user may be let into it."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-tests-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def redis_server(server_folder: Path, worker_id: str) -> Iterator[str]:
    """The URL of a Redis-compatible server; each xdist worker has a server (or a database number) of its own."""
    given = load_settings(partial=True).redis_url
    if given:
        first = int(given.rsplit("/", 1)[-1]) if given.rsplit("/", 1)[-1].isdigit() else 0
        yield with_database(given, str(first + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else first))
        return
    with embedded.running(embedded.valkey(server_folder / "valkey", durable=False), server_folder / "valkey.log") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server and of a database in it that nobody uses."""
    given = load_settings(partial=True).database_url
    if given:
        yield given
        return
    recipe = embedded.postgres(server_folder / "postgres", durable=False)
    with embedded.running(recipe, server_folder / "postgres.log") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """The name of a database with all migrations applied, to be cloned."""
    from ledger.migrate import migrate  # noqa: PLC0415 - only tests that need the ledger import it

    name = f"tidings_template_{uuid.uuid4().hex[:12]}"
    psql(postgres_server, f"CREATE DATABASE {name}")
    with ThreadPoolExecutor(1) as other:  # a loop of its own, whatever pytest-asyncio's is doing
        other.submit(asyncio.run, migrate(with_database(postgres_server, name))).result()
    yield name
    psql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    redis_command(redis_server, "FLUSHDB")
    return redis_server


@pytest.fixture
def database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """A fresh, migrated, empty database."""
    name = f"tidings_test_{uuid.uuid4().hex[:12]}"
    psql(postgres_server, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield with_database(postgres_server, name)
    psql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(redis_url: str, database_url: str) -> Settings:
    """Settings with both servers and free ports; nothing else of the environment."""
    return Settings.model_validate(
        {
            "redis_url": redis_url,
            "database_url": database_url,
            "secret_key": SECRET,
            "grpc_listen": "127.0.0.1:0",
            "web_listen": "127.0.0.1:0",
        }
    )


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator["Store"]:
    """A connection to an empty Redis."""
    from core.store import Store  # noqa: PLC0415

    opened = await Store.connect(redis_url)
    yield opened
    await opened.close()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator["Ledger"]:
    """The ledger on a fresh database."""
    from ledger import Ledger  # noqa: PLC0415

    opened = await Ledger.open(database_url)
    yield opened
    await opened.close()
