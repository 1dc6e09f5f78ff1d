"""Access tokens of a Google service account: fetched by google-auth in a thread, shared, renewed before they end."""

import asyncio
import datetime
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from core.errors import ConfigError, ProviderError

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
RENEW_BEFORE_S = 300.0  # of the usual hour
TIMEOUT_S = 10.0


class GoogleToken:
    """The current token. The address it comes from is the credentials' own token_uri."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError if the file is not a service account's key."""
        try:
            load = service_account.Credentials.from_service_account_file
            self._credentials = load(str(file), scopes=[SCOPE])  # type: ignore[no-untyped-call]
        except (OSError, ValueError, exceptions.GoogleAuthError) as error:
            raise ConfigError(f"TIDINGS_FCM__CREDENTIALS_FILE: {file} is not a service account's key: {error}") from error
        self._session = requests.Session()
        self._request: Callable[..., Any] = functools.partial(Request(session=self._session), timeout=TIMEOUT_S)
        self._renewal = asyncio.Lock()

    async def get(self) -> str:
        """A token that is good for some minutes.

        Raises:
            ProviderError: the token endpoint could not be reached, or refused; `refused` tells which.
        """
        if not self._fresh():
            async with self._renewal:
                if not self._fresh():
                    await asyncio.to_thread(self._renew)
        return str(self._credentials.token)

    def forget(self, token: str) -> None:
        """Drops `token`, which was refused, so that the next `get` fetches a new one."""
        if self._credentials.token == token:
            self._credentials.token = None

    def _fresh(self) -> bool:
        expiry = self._credentials.expiry
        if not self._credentials.token or expiry is None:
            return False
        left = expiry - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)  # google-auth's times are naive UTC
        return bool(left.total_seconds() > RENEW_BEFORE_S)

    def _renew(self) -> None:
        try:
            self._credentials.refresh(self._request)
        except exceptions.TransportError as error:
            raise TokenUnavailable(f"the token endpoint cannot be reached: {error}") from error
        except exceptions.GoogleAuthError as error:
            if getattr(error, "retryable", False):
                raise TokenUnavailable(f"the token endpoint has trouble: {error}") from error
            raise TokenRefused(f"the token endpoint refused: {error}") from error

    def close(self) -> None:
        """Closes the connections to the token endpoint."""
        self._session.close()


class TokenUnavailable(ProviderError):
    """No token now; later perhaps."""


class TokenRefused(ProviderError):
    """The credentials are not accepted."""
