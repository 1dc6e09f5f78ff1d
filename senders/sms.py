"""The SMS channel: texts to Twilio."""

from collections.abc import Mapping

from core.errors import ConfigError
from core.model import Channel
from core.settings import Settings
from senders.gate import Gate
from senders.routes import Routes
from senders.selection import SMS_POOLS
from senders.twilio import Twilio


def open_sms(settings: Settings, gates: Mapping[str, Gate] | None = None) -> Routes:
    """The channel with its provider.

    Raises:
        ConfigError: the account or the sending number is missing.
    """
    own = settings.twilio
    needed = {
        "TIDINGS_TWILIO__ACCOUNT_SID": own.account_sid,
        "TIDINGS_TWILIO__AUTH_TOKEN": own.auth_token.get_secret_value(),
        "TIDINGS_TWILIO__FROM_NUMBER": own.from_number,
    }
    missing = [f"{name}: is not set, and SMS go by Twilio" for name, value in needed.items() if not value]
    if missing:
        raise ConfigError("\n".join(missing))
    return Routes(Channel.SMS, {"twilio": Twilio(settings)}, SMS_POOLS, gates)
