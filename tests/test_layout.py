"""The fences hold in every source file, and the checker can fail."""

import subprocess
from pathlib import Path

import pytest

from tests.layout import RANK, Violation, check_cython, check_python, check_text

ROOT = Path(__file__).parent.parent
ROOMS = sorted({room.partition(".")[0] for room in RANK})
GENERATED = "_pb2"


def sources(suffix: str) -> list[Path]:
    found = [path for room in ROOMS for path in (ROOT / room).rglob(f"*{suffix}")]
    return sorted(path for path in found if GENERATED not in path.name and "node_modules" not in path.parts)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_source_file_keeps_the_fences() -> None:
    violations: list[Violation] = []
    for path in sources(".py"):
        violations += check_python(module_of(path), path.read_text())
    for suffix in (".pyx", ".pxd"):
        for path in sources(suffix):
            violations += check_cython(module_of(path), path.read_text())
    for suffix in (".lua", ".sql"):
        for path in sources(suffix):
            violations += check_text(module_of(path), path.read_text())
    assert not violations, "\n" + "\n".join(map(str, violations))


def test_the_walk_sees_every_room() -> None:
    seen = {module_of(path).partition(".")[0] for path in sources(".py")}
    assert seen >= {"core", "dispatcher", "fastpath", "gateway", "ledger", "senders", "tests", "tidings"}
    assert any(path.name == "streams.py" for path in sources(".py"))
    assert sources(".lua")


def test_generated_stubs_are_not_committed() -> None:
    listed = subprocess.run(["git", "ls-files", "--", "*_pb2*"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert listed.stdout == ""


GOOD = [
    ("senders.email", "from core.model import Channel\nfrom fastpath import Record"),
    ("senders.email", "from senders.batching import Batcher\nfrom .provider import Provider"),
    ("gateway.server", "from tidings.v1 import types_pb2\nfrom ledger.values import ApiKey"),
    ("tidings.up.stations", "from gateway.server import main"),
    ("ledger.__init__", "from .database import Database"),
    ("tidings.embedded", "url = 'postgresql://tidings:x@127.0.0.1/tidings'"),
    ("core.store", "import redis.asyncio as redis"),
    ("core.config", "import os\nx = os.environ['A']"),
    ("gateway.web.app", "from aiohttp import web\nweb.Application()"),
    ("gateway.server", "import grpc\ngrpc.aio.server()"),
    ("tidings.client", "import grpc\ngrpc.aio.insecure_channel('x')"),
    ("senders.http", "import aiohttp\naiohttp.ClientSession()"),
    ("core.members", "import os\nos.getpid()"),
    ("core.store", '"""Keys such as tidings:{p1}:in:low."""'),
    ("tidings.cli", "print(f'tidings: {1}')"),
    ("ledger.database", "import psycopg"),
]
BAD = [
    ("senders.email", "from dispatcher.rules import RULES", "senders may not import dispatcher"),
    ("core.streams", "def late():\n    from ledger import Ledger", "core may not import ledger"),
    ("core.streams", "from ledger.station import main", "core may not import ledger"),
    ("fastpath.pure.frames", "import core.model", "fastpath may not import core"),
    ("fastpath.pure.frames", "import asyncio", "asyncio may be imported only in"),
    ("gateway.server", "from tidings import Client", "gateway may not import tidings"),
    ("gateway.server", "from ..tidings import client", "gateway may not import tidings"),
    ("core.streams", "from tests.helpers import eventually", "core may not import tests"),
    ("bench.load", "import tests", "bench may not import tests"),
    ("senders.limits", "from redis import asyncio", "redis.asyncio may be imported only in core"),
    ("tests.integration.test_a", "import redis", "redis may be imported only in core"),
    ("gateway.auth", "import psycopg_pool", "psycopg_pool may be imported only in ledger"),
    ("senders.push", "from aiohttp import web", "aiohttp.web may be imported only in gateway"),
    ("gateway.web.app", "from aiohttp import ClientSession", "aiohttp.ClientSession may be imported only in senders"),
    ("gateway.web.app", "import aiohttp\naiohttp.ClientSession()", "aiohttp.ClientSession may be imported only in senders"),
    ("senders.push", "import aiohttp as a\na.web.Application()", "aiohttp.web.Application may be imported only in gateway"),
    ("ledger.hooks", "import httpx", "httpx may be imported only in senders"),
    ("dispatcher.station", "from urllib import request", "urllib.request may be imported only in"),
    ("ledger.station", "import os\nos.environ.get('A')", "os.environ may be used only in core.config"),
    ("tidings.up", "from os import environ as e", "os.environ may be used only in core.config"),
    ("ledger.station", "import os as o\no.getenv('A')", "os.getenv may be used only in core.config"),
    ("dispatcher.station", "from grpc import aio\naio.server()", "grpc.aio.server may be used only in gateway"),
    ("core.marks", "KEY = 'tidings:{p1}:x'", "a Redis key literal"),
    ("ledger.station", "def f(n): return f'tidings:{{p{n}}}:outcomes'", "a Redis key literal"),
    ("ledger.station", "def f(p, n): return f'{p}:{{p{n}}}:outcomes'", "a Redis key literal"),
]


@pytest.mark.parametrize(("module", "text"), GOOD)
def test_accepts(module: str, text: str) -> None:
    assert check_python(module, text) == []


@pytest.mark.parametrize(("module", "text", "complaint"), BAD)
def test_refuses(module: str, text: str, complaint: str) -> None:
    violations = check_python(module, text)
    assert [v for v in violations if complaint in v.what], violations
    assert all(v.where.startswith(f"{module}:") for v in violations)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cimport cython\nfrom core.model import Channel", "fastpath.resp:2: fastpath may not import core"),
        ("import struct, asyncio", "fastpath.resp:1: asyncio may be imported only in"),
        ("    from redis cimport x", "fastpath.resp:1: redis may be imported only in core"),
        ('x = b"tidings:{p0}"', "fastpath.resp:1: a Redis key literal"),
    ],
)
def test_refuses_cython(text: str, complaint: str) -> None:
    (violation,) = check_cython("fastpath.resp", text)
    assert str(violation).startswith(complaint)


def test_accepts_cython() -> None:
    assert (
        check_cython("fastpath.resp", "from libc.string cimport memcpy\nfrom fastpath.layout import SLOTS\ncimport cython\n")
        == []
    )


def test_refuses_a_key_in_a_script() -> None:
    assert check_text("core.scripts.settle", "redis.call('DEL', 'tidings:{p0}:x')")
    assert not check_text("core.scripts.settle", "-- of tidings: see core/keys.py\nredis.call('DEL', KEYS[1])")
