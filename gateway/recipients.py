"""RecipientsService: keeps recipients' addresses, devices, language and timezone."""

from core import changes
from gateway import fields, validate, views
from gateway.door import Context
from gateway.errors import Violation, invalid, not_found
from ledger.recipients import RecipientStore
from tidings.v1 import recipients_pb2 as pb
from tidings.v1 import recipients_pb2_grpc
from tidings.v1.types_pb2 import ErrorReason


class Recipients(recipients_pb2_grpc.RecipientsServiceServicer):
    """The service.

    Args:
        store: the ledger's recipients.
        tell: tells other processes that recipients changed.
    """

    def __init__(self, store: RecipientStore, tell: changes.Changes) -> None:
        self._store = store
        self._tell = tell

    async def Upsert(self, request: pb.UpsertRequest, context: Context) -> pb.UpsertResponse:
        """Stores a recipient whole, replacing what was known."""
        if not request.HasField("recipient"):
            raise invalid([Violation("recipient", "is required", ErrorReason.ERROR_REASON_REQUIRED)])
        addresses, faults = validate.recipient(request.recipient)
        if faults:
            raise invalid([fault.under("recipient") for fault in faults])
        stored = await self._store.upsert(views.to_recipient(addresses))
        await self._tell.publish(changes.RECIPIENT, stored.recipient_id)
        return pb.UpsertResponse(recipient=views.recipient(stored), updated_at=views.timestamp(stored.updated_ms))

    async def Get(self, request: pb.RecipientsServiceGetRequest, context: Context) -> pb.RecipientsServiceGetResponse:
        """One recipient."""
        faults = validate.Faults()
        recipient_id = faults.check("recipient_id", fields.identifier, request.recipient_id)
        if faults:
            raise invalid(faults)
        stored = (await self._store.fetch([recipient_id])).get(recipient_id)
        if stored is None:
            raise not_found(f"there is no recipient {fields.quote(recipient_id)}")
        return pb.RecipientsServiceGetResponse(recipient=views.recipient(stored), updated_at=views.timestamp(stored.updated_ms))
