"""The e-mail channel: rendered messages to SendGrid, a mail server or, for a load test, nobody."""

from collections.abc import Mapping, Sequence

from core.errors import ConfigError
from core.model import Channel, ErrorClass, Part
from core.settings import Settings
from fastpath import lacking
from senders.discard import Discard
from senders.gate import Gate
from senders.provider import Desk, Message, Provider, fault
from senders.routes import Routes
from senders.selection import email_selection
from senders.sendgrid import SendGrid
from senders.smtp import Smtp

_TEXTS = bytes((Part.HTML, Part.TEXT))
NO_CONTENT = fault(ErrorClass.PERMANENT, "no_content", "the template rendered to an empty e-mail")


class EmailChannel:
    """senders.provider.Carrier of e-mails."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        empty = set(lacking([message.record for message in messages], _TEXTS))
        if empty:
            desk.end_all(await desk.begin_all([message for i, message in enumerate(messages) if i in empty]), NO_CONTENT)
            messages = [message for i, message in enumerate(messages) if i not in empty]
        await self.routes.send(messages, desk)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self.routes.close()


def open_email(settings: Settings, gates: Mapping[str, Gate] | None = None) -> EmailChannel:
    """The channel with the providers that are configured.

    Raises:
        ConfigError: there is no sender address, a provider that is asked for has no credentials, or discard shares with others.
    """
    asked = {*settings.email_providers, *settings.email_routes.values()}
    if Discard.name in settings.email_providers and len(set(settings.email_providers)) > 1:
        raise ConfigError("TIDINGS_EMAIL_PROVIDERS: discard stands alone: beside others it would lose a share of the e-mails")
    if asked != {Discard.name} and "@" not in settings.email_from + settings.smtp.from_:
        raise ConfigError("TIDINGS_EMAIL_FROM: is not set; set it to a sender address, e.g. Shop <news@shop.example>")
    providers: dict[str, Provider] = {}
    if settings.sendgrid.api_key.get_secret_value():
        providers["sendgrid"] = SendGrid(settings)
    if settings.smtp.host:
        providers["smtp"] = Smtp(settings)
    if Discard.name in asked:
        providers[Discard.name] = Discard()
    missing = asked - providers.keys()
    if missing:
        wanted = {"sendgrid": "TIDINGS_SENDGRID__API_KEY", "smtp": "TIDINGS_SMTP__HOST"}
        raise ConfigError("\n".join(f"{wanted[name]}: is not set, and e-mail goes by {name}" for name in sorted(missing)))
    return EmailChannel(Routes(Channel.EMAIL, providers, {0: email_selection(settings)}, gates))
