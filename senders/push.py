"""The push channel: to FCM or APNs by the device's platform, each push with a receipt for the app to send back."""

from collections.abc import Mapping

from core.errors import ConfigError
from core.model import Channel
from core.settings import Settings
from senders.apns import Apns
from senders.fcm import Fcm
from senders.gate import Gate
from senders.provider import Provider
from senders.receipts import Receipts
from senders.routes import Routes
from senders.selection import PUSH_POOLS


def open_push(settings: Settings, gates: Mapping[str, Gate] | None = None) -> Routes:
    """The channel with the providers that are configured; one is enough.

    Raises:
        ConfigError: neither is configured, or credentials cannot be read.
    """
    receipts = Receipts(settings)
    providers: dict[str, Provider] = {}
    if settings.fcm.project_id:
        providers["fcm"] = Fcm(settings, receipts)
    if settings.apns.topic:
        providers["apns"] = Apns(settings, receipts)
    if not providers:
        raise ConfigError("TIDINGS_FCM__PROJECT_ID, TIDINGS_APNS__TOPIC: neither is set, and push goes by FCM or APNs")
    return Routes(Channel.PUSH, providers, PUSH_POOLS, gates)
