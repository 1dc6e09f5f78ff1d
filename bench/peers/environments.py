"""The contenders' own virtual environments, beside the project's: made once for each list of requirements."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def python_for(requirements: str) -> str:
    """The interpreter of the environment with these requirements (a file's name in this folder); installs what is missing.

    Raises:
        subprocess.CalledProcessError: pip could not install them.
    """
    wanted = HERE / requirements
    folder = Path(sys.prefix) / "peers" / wanted.stem
    stamp, digest = folder / "installed", hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"installing {requirements} into {folder} ...", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", wanted], check=True)
        stamp.write_text(digest)
    return str(python)


def versions_in(python: str) -> dict[str, str]:
    """The packages of an environment with their versions."""
    command = [python, "-m", "pip", "freeze", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
