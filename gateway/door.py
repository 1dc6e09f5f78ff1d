"""The one interceptor: who calls, under which trace, was the message readable, and what is answered when something fails.

Wraps every method of every service once. Nothing a caller sends leaves a traceback in the log; a fault of ours leaves one,
under an id that the caller is told.
"""

import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind

from core import telemetry
from core.errors import TidingsError
from gateway.auth import Auth
from gateway.errors import Refusal, Violation, internal, invalid, refusal_of, to_status
from gateway.intake import Origin
from tidings.v1.types_pb2 import ErrorReason

log = logging.getLogger("tidings.gateway")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_ORIGIN: ContextVar[Origin] = ContextVar("origin")


def origin() -> Origin:
    """Whose call this is, and its trace context; inside of a method only."""
    return _ORIGIN.get()


class _Unreadable:
    """Stands for a message whose bytes are not one."""


_UNREADABLE = _Unreadable()


class Door(grpc.aio.ServerInterceptor):
    """Every call passes through it."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]", details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The method's handler, wrapped; None if there is no such method."""
        method = details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            found = await continuation(details)
            if found is None:
                return None
            wrapped = self._wrapped[method] = self._wrap(method, found)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        parse = _lenient(handler.request_deserializer)
        encode = handler.response_serializer
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._streaming(method, handler.stream_stream), parse, encode)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._streaming(method, handler.unary_stream), parse, encode)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._plain(method, handler.stream_unary), parse, encode)
        return grpc.unary_unary_rpc_method_handler(self._plain(method, handler.unary_unary), parse, encode)

    def _plain(self, method: str, behaviour: Any) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            try:
                with await self._enter(method, context):
                    return await behaviour(_checked(request), context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                refusal = _refusal(method, error)
            await context.abort_with_status(rpc_status.to_status(to_status(refusal)))

        return answer

    def _streaming(self, method: str, behaviour: Any) -> Any:
        if not inspect.isasyncgenfunction(behaviour):  # grpcio-health writes to its context
            return self._plain(method, behaviour)

        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                with await self._enter(method, context):
                    async with aclosing(behaviour(_checked(request), context)) as messages:
                        async for message in messages:
                            yield message
                return
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                refusal = _refusal(method, error)
            await context.abort_with_status(rpc_status.to_status(to_status(refusal)))

        return answer

    async def _enter(self, method: str, context: Context) -> AbstractContextManager[object]:
        """Says who calls, or refuses; the span to answer in. Most calls have no trace, and are not made to pay for one."""
        metadata = context.invocation_metadata() or ()
        header = parent = ""
        for name, value in metadata:
            if name == "authorization" and not header and isinstance(value, str):
                header = value
            elif name == "traceparent" and not parent and isinstance(value, str):
                parent = value
        caller = self._auth.recent(method, header)
        if caller is None:
            caller = await self._auth.caller(method, metadata, context.auth_context())
        if parent or telemetry.enabled():
            return _traced(method, caller.name, parent)
        _ORIGIN.set(Origin(caller.name, ""))
        return _UNTRACED


_UNTRACED = nullcontext()


@contextmanager
def _traced(method: str, caller: str, parent: str) -> Iterator[None]:
    with telemetry.span(method[1:], parent, kind=SpanKind.SERVER) as span:
        _ORIGIN.set(Origin(caller, telemetry.traceparent_of(span)))
        yield


def _refusal(method: str, error: Exception) -> Refusal:
    """What the caller is told; what is our fault is logged, once."""
    if isinstance(error, TidingsError):
        refusal = refusal_of(error)
        if refusal.code is not grpc.StatusCode.INTERNAL:
            log.debug("refused: %s %s", refusal.code.name, ErrorReason.Name(refusal.reason), extra={"method": method})
            return refusal
    error_id = secrets.token_hex(6)
    log.error("a call failed, error id %s", error_id, exc_info=error, extra={"method": method})
    return internal(error_id)


def _lenient(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that does not raise: gRPC would log a traceback and answer INTERNAL."""

    def read(data: bytes) -> Any:
        try:
            return parse(data) if parse else data
        except DecodeError:
            return _UNREADABLE

    return read


def _checked(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise unreadable()
    return _readable(request) if hasattr(request, "__aiter__") else request


async def _readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, _Unreadable):
            raise unreadable()
        yield request


def unreadable() -> Refusal:
    """What is answered to bytes that are not a message of the method."""
    text = "is not a message of this method: the bytes are damaged, a string is not UTF-8, or it is nested too deeply"
    return invalid([Violation("request", text, ErrorReason.ERROR_REASON_INVALID_FORMAT)])
