"""API keys: who they belong to, what they may, and what happens to them while PostgreSQL is away."""

import asyncio
from pathlib import Path

import grpc
import pytest

from core.clock import ManualClock
from core.errors import LedgerUnavailable
from gateway.auth import FRESH_MS, SCOPES, STALE_MS, UNKNOWN_MS, Auth, Caller
from gateway.errors import Refusal
from ledger.values import ApiKey
from tidings.v1 import admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2

SEND = "/tidings.v1.NotificationsService/Send"
PUT = "/tidings.v1.TemplatesService/Put"
KEY = "tk_good"


class Keys:
    """The ledger's keys, which can be revoked and can be away."""

    def __init__(self) -> None:
        self.keys = {KEY: ApiKey(1, "shop", frozenset({"send", "read"}), 0)}
        self.asked = 0
        self.away = False
        self.hangs = False

    async def find(self, key: str) -> ApiKey | None:
        self.asked += 1
        if self.away:
            raise LedgerUnavailable("away")
        if self.hangs:
            await asyncio.Event().wait()
        return self.keys.get(key)


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def auth(keys: Keys, clock: ManualClock) -> Auth:
    return Auth(keys.find, clock=clock)


async def call(auth: Auth, header: str | None = f"Bearer {KEY}", method: str = SEND) -> Caller:
    metadata = [("user-agent", "x")] + ([("authorization", header)] if header is not None else [])
    return await auth.caller(method, metadata, {})


async def refused(auth: Auth, header: str | None = f"Bearer {KEY}", method: str = SEND) -> grpc.StatusCode:
    with pytest.raises(Refusal) as caught:
        await call(auth, header, method)
    return caught.value.code


def test_every_method_has_a_scope() -> None:
    modules = (admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2)
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert methods == {method for method in SCOPES if method.startswith("/tidings.")}
    assert all(SCOPES[method] for method in methods)


def test_scopes_are_what_the_contract_says() -> None:
    modules = (admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2)
    root = Path(__file__).parents[3] / "proto"
    for module in modules:
        lines = (root / module.DESCRIPTOR.name).read_text().splitlines()
        (service,) = module.DESCRIPTOR.services_by_name.values()
        for i, line in enumerate(lines):
            if line.strip().startswith("rpc "):
                comment = " ".join(lines[max(0, i - 3) : i])
                name = line.split("rpc ")[1].split("(")[0]
                assert f"Scope: {SCOPES[f'/{service.full_name}/{name}']}." in comment, name


async def test_a_known_key(auth: Auth) -> None:
    assert await call(auth) == Caller("shop", frozenset({"send", "read"}))
    assert (await call(auth, f"bearer  {KEY}")).name == "shop"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY, "Bearer good", "Bearer tk_" + "x" * 300]
)
async def test_no_key(auth: Auth, keys: Keys, header: str | None) -> None:
    assert await refused(auth, header) is grpc.StatusCode.UNAUTHENTICATED
    assert keys.asked == 0


async def test_a_wrong_key_is_asked_for_once_a_while(auth: Auth, keys: Keys, clock: ManualClock) -> None:
    for _ in range(3):
        assert await refused(auth, "Bearer tk_bad") is grpc.StatusCode.UNAUTHENTICATED
    assert keys.asked == 1
    clock.advance(UNKNOWN_MS)
    await refused(auth, "Bearer tk_bad")
    assert keys.asked == 2


async def test_a_missing_scope(auth: Auth) -> None:
    assert await refused(auth, method=PUT) is grpc.StatusCode.PERMISSION_DENIED
    assert await refused(auth, method="/tidings.v1.NewService/NotListed") is grpc.StatusCode.PERMISSION_DENIED


async def test_health_is_open(auth: Auth, keys: Keys) -> None:
    assert (await call(auth, None, "/grpc.health.v1.Health/Check")).name == ""
    assert keys.asked == 0


async def test_a_certificate_speaks_for_a_service_but_not_for_an_operator(auth: Auth) -> None:
    peer = {"x509_common_name": [b"billing"]}
    assert (await auth.caller(SEND, [], peer)).name == "certificate billing"
    with pytest.raises(Refusal) as caught:
        await auth.caller(PUT, [], peer)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_key_ends_soon(auth: Auth, keys: Keys, clock: ManualClock) -> None:
    await call(auth)
    keys.keys.clear()
    clock.advance(FRESH_MS - 1)
    await call(auth)
    assert keys.asked == 1
    clock.advance(1)
    assert await refused(auth) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_known_key_outlives_a_short_outage(auth: Auth, keys: Keys, clock: ManualClock) -> None:
    await call(auth)
    keys.away = True
    clock.advance(FRESH_MS)
    for _ in range(5):
        await call(auth)
    assert keys.asked == 2  # and PostgreSQL is not asked at every call
    clock.advance(STALE_MS)
    with pytest.raises(LedgerUnavailable):
        await call(auth)


async def test_an_unknown_key_cannot_be_judged_while_postgresql_is_away(auth: Auth, keys: Keys) -> None:
    keys.away = True
    with pytest.raises(LedgerUnavailable):
        await call(auth)


async def test_a_hanging_database_holds_up_a_known_key_only_once(
    auth: Auth, keys: Keys, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.auth.PATIENCE_S", 0.01)
    await call(auth)
    keys.hangs = True
    clock.advance(FRESH_MS)
    await call(auth)
    await call(auth)
    assert keys.asked == 2


async def test_many_calls_ask_once(auth: Auth, keys: Keys) -> None:
    await asyncio.gather(*(call(auth) for _ in range(20)))
    assert keys.asked == 1


async def test_memory_is_bounded(auth: Auth, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.CAPACITY", 3)
    await call(auth)
    for i in range(5):
        await refused(auth, f"Bearer tk_{i}")
    asked = keys.asked
    await call(auth)
    assert keys.asked == asked + 1  # the oldest was forgotten


async def test_a_caller_of_a_moment_ago_is_known_by_the_header(auth: Auth, keys: Keys, clock: ManualClock) -> None:
    header = f"Bearer {KEY}"
    assert auth.recent(SEND, header) is None
    caller = await call(auth)
    assert auth.recent(SEND, header) == caller
    assert auth.recent(PUT, header) is None  # without the scope
    assert auth.recent(SEND, f"Bearer {KEY} ") is None
    keys.keys.clear()  # revoked
    clock.advance(FRESH_MS - 1)
    assert auth.recent(SEND, header) == caller
    await call(auth)  # asks nobody, and makes nothing younger
    clock.advance(1)
    assert auth.recent(SEND, header) is None
    assert await refused(auth) is grpc.StatusCode.UNAUTHENTICATED
    assert auth.recent(SEND, header) is None


async def test_a_key_that_outlives_postgresql_is_asked_for_each_time(auth: Auth, keys: Keys, clock: ManualClock) -> None:
    await call(auth)
    keys.away = True
    clock.advance(FRESH_MS)
    assert await call(auth) == Caller("shop", frozenset({"send", "read"}))
    assert auth.recent(SEND, f"Bearer {KEY}") is None
