"""AdminService: what an operator asks a running system."""

from core import census, members
from core.store import Store
from gateway.door import Context
from tidings.v1 import admin_pb2 as pb
from tidings.v1 import admin_pb2_grpc

STATIONS = ("gateway", *census.STATIONS)


class Admin(admin_pb2_grpc.AdminServiceServicer):
    """The service."""

    def __init__(self, store: Store, partitions: int) -> None:
        self._store = store
        self._partitions = partitions

    async def ListStations(self, request: pb.ListStationsRequest, context: Context) -> pb.ListStationsResponse:
        """Depth, lag and pending of every stream, and who reads it."""
        streams = await census.census(self._store, self._partitions)
        response = pb.ListStationsResponse(
            streams=[
                pb.StreamState(stream=s.stream, group=s.group, depth=s.depth, lag=s.lag, pending=s.pending, waiting=s.waiting)
                for s in streams
            ]
        )
        for station in STATIONS:
            for name, silent_ms in await members.list_members(self._store, station):
                response.members.add(station=station, name=name, silent_ms=silent_ms)
        return response
