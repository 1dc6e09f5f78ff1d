"""What a push carries besides its text: the template's data, the notification's id, and a receipt for the app to send back."""

from collections.abc import Sequence
from contextlib import suppress

import orjson

from core.model import Part
from core.settings import Settings
from core.signing import sign_receipt
from senders.provider import Message

PATH = "/receipts"  # gateway/web listens there

ID = "tidings_id"
RECEIPT = "tidings_receipt"
RECEIPT_URL = "tidings_receipt_url"


class Receipts:
    """Makes the data of pushes; FCM and APNs do not say whether a push arrived, the app does by posting the receipt."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.secret_key.get_secret_value()
        self._url = settings.web_public_url + PATH

    def data(self, message: Message) -> dict[str, str]:
        """The data of one push: names and values are text.

        Raises:
            ValueError: the rendered data is not a JSON object.
        """
        if message.data is None:
            message.data = self._made(message)
        return message.data

    def make_ahead(self, messages: Sequence[Message]) -> None:
        """Makes the data of pushes that come next: one after another they cost a third of what they do between two calls."""
        for message in messages:
            with suppress(ValueError):  # `data` will say so
                self.data(message)

    def _made(self, message: Message) -> dict[str, str]:
        rendered = message.parts.get(Part.DATA) or b"{}"
        values = orjson.loads(rendered)
        if not isinstance(values, dict):
            raise ValueError("push data is not a JSON object")
        own = {str(k): v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in values.items()}
        record = message.record
        own[ID] = message.id
        own[RECEIPT] = sign_receipt(self._secret, record.id, record.channel, record.device)
        own[RECEIPT_URL] = self._url
        return own
