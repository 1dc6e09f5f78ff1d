"""The only code that reads the environment: makes core.settings.Settings of it and says what is wrong with it.

Every setting is a variable TIDINGS_<NAME> (nested ones TIDINGS_<GROUP>__<NAME>), or a line in the file that TIDINGS_CONFIG
names: TOML if it ends in .toml, else NAME=value lines. A variable wins over the file. Touches nothing but that.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from core.errors import ConfigError
from core.settings import ClientSettings, Settings, split_listen

__all__ = [
    "ClientSettings",
    "Settings",
    "child_environment",
    "load_client_settings",
    "load_settings",
    "require",
    "split_listen",
]

PREFIX = "TIDINGS_"
FILE_VARIABLE = "TIDINGS_CONFIG"
PLACEHOLDER = "change-me"  # of deploy/tidings.env
SECRET_MIN = 16  # characters of secret_key


class _Environment(Settings, BaseSettings):
    """Settings out of the environment and the file that it names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keywords, then variables, then the file."""
        named = os.environ.get(FILE_VARIABLE)
        if not named:
            return init_settings, env_settings
        file = Path(named)
        if not file.is_file():
            raise ConfigError(f"{FILE_VARIABLE}: there is no file {named!r}; correct the path or unset the variable")
        if file.suffix == ".toml":
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)
        return init_settings, env_settings, DotEnvSettingsSource(settings_cls, file)


class _ClientEnvironment(ClientSettings, BaseSettings):
    """The same for a caller; variables only."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)


def load_client_settings() -> ClientSettings:
    """TIDINGS_TARGET, TIDINGS_API_KEY and TIDINGS_CA_FILE."""
    return _ClientEnvironment()


def load_settings(*, partial: bool = False) -> Settings:
    """Settings as the environment gives them.

    Args:
        partial: let redis_url, database_url and secret_key be empty (the local supervisor fills them in).

    Raises:
        ConfigError: something is missing or wrong; the message has a line for each variable and what it should be.
    """
    try:
        settings = _Environment()
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(dict(item)) for item in error.errors(include_input=False))) from error
    except SettingsError as error:  # a variable that should hold JSON
        field = re.search(r'field "(\w+)"', str(error))
        raise ConfigError(_line((field[1] if field else "?",), f"is not JSON ({error.__cause__})")) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file that {FILE_VARIABLE} names is not TOML: {error}") from error
    if not partial:
        require(settings)
    return settings


def require(settings: Settings) -> None:
    """Check what every station needs.

    Raises:
        ConfigError: redis_url, database_url or secret_key is empty or too short.
    """
    lines = [_line(("redis_url",), "is not set")] if not settings.redis_url else []
    lines += [_line(("database_url",), "is not set")] if not settings.database_url else []
    secret = settings.secret_key.get_secret_value()
    if len(secret) < SECRET_MIN or secret.startswith(PLACEHOLDER):
        lines.append(_line(("secret_key",), f"is not set, an example's, or shorter than {SECRET_MIN} characters"))
    if lines:
        raise ConfigError("\n".join(lines))


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment for a process that shall see these settings: this process's own, with every TIDINGS_* made explicit.

    Holds secrets in the clear: hand it to a child process and to nobody else.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    stated = settings.model_dump(
        by_alias=True, exclude_defaults=True, exclude={"otlp_endpoint", "otlp_protocol", "otel_sdk_disabled"}
    )
    return kept | {PREFIX + name.upper(): _text(value) for name, value in stated.items()}


def _text(value: object) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    plain = orjson.dumps(value, default=_reveal)
    return orjson.loads(plain) if plain.startswith(b'"') else plain.decode()


def _reveal(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _explain(error: Mapping[str, Any]) -> str:
    path = tuple(str(part) for part in error["loc"])
    return (
        _line(path, str(error["msg"]).removeprefix("Value error, "))
        if path
        else f"the settings contradict each other: {error['msg']}"
    )


def _line(path: tuple[str, ...], fault: str) -> str:
    """One line of a ConfigError: variable, fault, remedy."""
    name = "__".join(part.upper() for part in path if not part.isdigit())
    variable = name if name.startswith(("OTEL_", PREFIX)) else PREFIX + name
    remedy = _description(path)
    return f"{variable} {fault[:1].lower()}{fault[1:]}. " + (f"Expected: {remedy}." if remedy else "No setting has this name.")


def _description(path: tuple[str, ...]) -> str:
    model: type[BaseModel] = Settings
    text = ""
    for part in path:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias, f.validation_alias)), None)
        if field is None:
            break
        text = field.description or ""
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break  # what is inside a list or a table is told by the setting's own words
        model = field.annotation
    return text
