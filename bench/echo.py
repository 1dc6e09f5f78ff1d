"""`python -m bench.echo`: a bare grpc.aio server of the gateway's messages, which keeps nothing, for bench.gateway to compare.

It prints its port and answers until it is killed. The loop is the one that the gateway runs on.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import uvloop

from tidings.embedded import HOST
from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import notifications_pb2_grpc

ID = "018f2f6e-0000-7000-8000-000000000000"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Echo(notifications_pb2_grpc.NotificationsServiceServicer):
    """Reads a message, answers with one."""

    async def Send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:
        """One for one."""
        return pb.SendResponse(notification_id=ID)

    async def SendBatch(self, request: pb.SendBatchRequest, context: Context) -> pb.SendBatchResponse:
        """A result for each."""
        return pb.SendBatchResponse(results=[pb.SendResult(notification_id=ID) for _ in request.notifications])

    async def SendStream(
        self, request_iterator: AsyncIterator[pb.SendStreamRequest], context: Context
    ) -> AsyncIterator[pb.SendStreamResponse]:
        """One for one, in order."""
        async for request in request_iterator:
            yield pb.SendStreamResponse(sequence=request.sequence, result=pb.SendResult(notification_id=ID))

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        """Knows nothing."""
        return pb.GetResponse()

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        """Knows nothing."""
        return pb.ListResponse()


async def serve() -> None:
    """Until it is killed."""
    server = grpc.aio.server()
    notifications_pb2_grpc.add_NotificationsServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
