"""Access tokens of a Google service account: fetched by google-auth in a thread, shared, renewed before they end."""

import asyncio
import datetime
import functools
import time
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
        self._renew_s = 0.0  # seconds since the epoch; until then the token is good

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
        return time.time() < self._renew_s and bool(self._credentials.token)

    def _renew(self) -> None:
        try:
            self._credentials.refresh(self._request)
        except exceptions.TransportError as error:
            raise TokenUnavailable(f"the token endpoint cannot be reached: {error}") from error
        except exceptions.GoogleAuthError as error:
            if getattr(error, "retryable", False):
                raise TokenUnavailable(f"the token endpoint has trouble: {error}") from error
            raise TokenRefused(f"the token endpoint refused: {error}") from error
        expiry = self._credentials.expiry  # google-auth's times are naive UTC
        self._renew_s = expiry.replace(tzinfo=datetime.UTC).timestamp() - RENEW_BEFORE_S if expiry else 0.0

    def close(self) -> None:
        """Closes the connections to the token endpoint."""
        self._session.close()


class TokenUnavailable(ProviderError):
    """No token now; later perhaps."""


class TokenRefused(ProviderError):
    """The credentials are not accepted."""
