"""Which provider takes a message. The one place where a provider is chosen: weights, health and breakers belong here too."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from core.model import Channel, ErrorClass, Platform
from core.settings import Settings
from fastpath import Record
from senders.provider import Desk, Message, Provider, fault

Choice = Callable[[Record], str]

UNCONFIGURED = "not_configured"  # our code: the provider that should take it has no credentials


def email_choice(settings: Settings) -> Choice:
    """By type: its own route, else the longest prefix (written with a final *), else the first of email_providers."""
    exact = {t: name for t, name in settings.email_routes.items() if not t.endswith("*")}
    prefixes = sorted((t[:-1] for t in settings.email_routes if t.endswith("*")), key=len, reverse=True)
    first = settings.email_providers[0]

    def choose(record: Record) -> str:
        type_ = record.type
        found = exact.get(type_)
        if found is None:
            prefix = next((p for p in prefixes if type_.startswith(p)), None)
            found = first if prefix is None else settings.email_routes[f"{prefix}*"]
        return found

    return choose


def push_choice(record: Record) -> str:
    """By the device's platform."""
    return "apns" if record.platform == Platform.APNS else "fcm"


def sms_choice(record: Record) -> str:
    """There is one so far."""
    return "twilio"


class Routes:
    """Hands messages to their providers, all of them at once; itself a senders.provider.Carrier."""

    def __init__(self, channel: Channel, providers: Mapping[str, Provider], choose: Choice) -> None:
        """`providers` holds those that are configured, by name; a message for any other one fails as MISCONFIGURED."""
        self._channel = channel
        self._providers = providers
        self._choose = choose

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        groups: dict[str, list[Message]] = {}
        for message in messages:
            message.provider = self._choose(message.record)
            groups.setdefault(message.provider, []).append(message)
        sends = [self._send(name, group, desk) for name, group in groups.items()]
        results = await asyncio.gather(*sends, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send(self, name: str, messages: Sequence[Message], desk: Desk) -> None:
        provider = self._providers.get(name)
        if provider is not None:
            await provider.send(messages, desk)
            return
        answer = fault(ErrorClass.MISCONFIGURED, UNCONFIGURED, f"{name} is not configured; set TIDINGS_{name.upper()}__*")
        for message in messages:
            if await desk.begin(message):
                desk.end(message, answer)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        for provider in self._providers.values():
            await provider.close()
