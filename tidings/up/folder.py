"""The data folder of a local system: who may use it, its secrets, its logs, and the note for clients that look for it.

.tidings/  lock  secrets.json  dev.json (while it runs)  logs/  valkey/  postgres/  sandbox/
"""

import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError

LOCK_WAIT_S = 10.0  # a killed supervisor's children need a moment to follow it
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder that this process owns. `lock` is inherited by every child: it is free only when all of them are gone."""

    path: Path
    lock: int  # file descriptor

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.path / "logs" / f"{name}.log"

    @property
    def note(self) -> Path:
        """What clients read that run in the same folder (tidings.channel.local_system)."""
        return self.path / "dev.json"

    def write_note(self, found: dict[str, Any]) -> None:
        """Tell clients where the system is."""
        write_private(self.note, json.dumps(found, indent=2) + "\n")

    def close(self) -> None:
        """Take the note back and let go of the folder."""
        self.note.unlink(missing_ok=True)
        os.close(self.lock)


def claim(path: Path) -> Folder:
    """Make the folder if there is none, and own it until this process and all its children have ended.

    Raises:
        ConfigError: somebody else owns it, or it cannot be written.
    """
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (path / "logs").mkdir(exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be used ({error.strerror}): choose another folder with --data") from error
    try:
        _lock(path, lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        (path / "dev.json").unlink(missing_ok=True)  # of a killed one
    except BaseException:
        os.close(lock)
        raise
    return Folder(path, lock)


def _lock(path: Path, lock: int) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode() or "?"
            if _alive(owner):
                raise ConfigError(
                    f"{path} is in use by process {owner}: stop it, or choose another folder with --data"
                ) from None
            if time.monotonic() > deadline:
                raise ConfigError(f"{path} is in use by processes that process {owner} left behind: end them first") from None
            time.sleep(POLL_S)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def load_secrets(folder: Folder) -> dict[str, str]:
    """What this folder's system signs with ("secret_key") and, once it was made, its development API key ("api_key")."""
    file = folder.path / "secrets.json"
    if file.exists():
        found: dict[str, str] = json.loads(file.read_text())
        return found
    made = {"secret_key": secrets.token_urlsafe(32)}
    save_secrets(folder, made)
    return made


def save_secrets(folder: Folder, found: dict[str, str]) -> None:
    """Keep them for the next start."""
    write_private(folder.path / "secrets.json", json.dumps(found) + "\n")


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)
