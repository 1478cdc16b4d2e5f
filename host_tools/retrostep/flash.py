"""Copies the firmware onto a device with mpremote: only what changed, then a restart.

The files are laid out in a temporary folder exactly as they shall lie on the device and copied in one go; mpremote
compares hashes and leaves equal files alone. Files on the device that no longer belong to the firmware are removed
from lib/ and firmware/; everything else (settings, log, libraries that mip installed) is never touched.
"""

from __future__ import annotations

import posixpath
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from retrostep.device_tree import FOLDERS, device_files

_TIMEOUT_S = 300
_INSTALLED_BY_MIP = ("/lib/aioble/",)

# Runs on the device: prints the files below lib/ and firmware/.
_LIST = """
import os
def walk(folder):
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in entries:
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            walk(path)
        else:
            print(path)
for top in {tops!r}:
    walk(top)
"""


class FlashFailed(RuntimeError):
    """mpremote could not do it; the message holds what it printed."""


def mpremote(port: str, *args: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Run mpremote on `port`; returns what it printed. Raises FlashFailed."""
    command = [sys.executable, "-m", "mpremote", "connect", port, *args]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise FlashFailed(
            f"mpremote on {port} did not finish in {timeout_s:.0f} s: unplug the device, plug it in and try again"
        ) from error
    if done.returncode:
        raise FlashFailed(f"mpremote on {port} failed: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def flash(port: str) -> list[str]:
    """Bring the device at `port` up to the files here and restart it; returns the changed paths.

    Raises FlashFailed.
    """
    files = device_files()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for source, target in files:
            staged = stage / target.lstrip("/")
            staged.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, staged)
        tops = sorted(path.name for path in stage.iterdir())
        printed = mpremote(port, "cp", "-r", *(str(stage / top) for top in tops), ":")
    wanted = {target for _, target in files}
    listed = mpremote(port, "resume", "exec", _LIST.format(tops=[f"/{folder}" for folder in FOLDERS])).split()
    stale = [
        path
        for path in listed
        if path.startswith("/") and path not in wanted and not path.startswith(_INSTALLED_BY_MIP)
    ]
    for path in stale:
        mpremote(port, "resume", "rm", f":{path}")
    mpremote(port, "resume", "reset")
    unchanged = {
        posixpath.normpath("/" + line.removeprefix("Up to date:").strip())
        for line in printed.splitlines()
        if line.startswith("Up to date:")
    }
    return sorted(wanted - unchanged) + stale
