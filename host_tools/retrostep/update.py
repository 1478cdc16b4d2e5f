"""Updates a device over its link, Bluetooth or cable: signs a manifest and sends the files that the device lacks.

The device's side, and what protects it: firmware/update.py. The key of a device is drawn when this computer pairs
with it and lies in the user's configuration folder, readable for the user alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from retrostep.device_tree import use_device_code
from retrostep.flash import check_compiled, compile_application, march_of
from retrostep.link import MAX_BODY_BYTES, Link, LinkError, UpdateState

use_device_code()

from firmware import VERSION  # noqa: E402
from firmware.update import (  # noqa: E402
    ASK,
    COMPLETE,
    COPYING,
    DATA,
    FINISH,
    HEAD,
    MANIFEST,
    START,
    SWITCHED,
    TAKING,
)

PIECE_BYTES = MAX_BODY_BYTES - 7
"""Of a file in one request, behind its action, file and offset."""
SAME_PIECE_TRIES = 5


class UpdateFailed(LinkError):
    """The device could not be updated; the message says what to do."""


def keys_path() -> Path:
    """Where the keys of paired devices lie."""
    return user_config_path("retrostep", appauthor=False) / "update-keys.json"


def _read_keys(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UpdateFailed(
            f"{path} is damaged ({error}): remove it, then pair again with a device that was erased"
        ) from error


def _save_keys(path: Path, keys: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keys, file)
    new.replace(path)


async def agree_on_key(link: Link, device_id: str, path: Path | None = None) -> bool:
    """Give the device a key to check updates with, unless it has one; True if it has ours. Raises LinkError.

    Meant for the moment of pairing: the first computer that pairs with a device is the one that updates it.
    """
    path = path or keys_path()
    keys = _read_keys(path)
    if (await link.settings()).values.get("update_key"):
        return device_id in keys
    key = keys.get(device_id) or secrets.token_hex(32)
    # First here: a key that only the device knows would be of no use to anybody.
    _save_keys(path, {**keys, device_id: key})
    await link.settings({"update_key": key})
    return True


def manifest_of(files: dict[str, Path], mpy: int) -> bytes:
    """The manifest of an application (paths in the slot, files here) for a device with this `mpy`."""
    lines = [f"{HEAD} {VERSION} {mpy}"]
    for name, path in files.items():
        content = path.read_bytes()
        lines.append(f"{len(content)} {hashlib.sha256(content).hexdigest()} {name}")
    return "".join(line + "\n" for line in lines).encode()


async def _send_manifest(link: Link, manifest: bytes) -> None:
    at = 0
    while at < len(manifest):
        piece = manifest[at : at + PIECE_BYTES]
        state = await link.update(MANIFEST, at.to_bytes(4, "little") + piece)
        if state.manifest_bytes <= at:
            raise UpdateFailed("the device does not take the manifest: reset it and update again")
        at = state.manifest_bytes


class _Exchange:
    """The device's answers to START, DATA and ASK, as long as it gets on; `files`: their number."""

    def __init__(self, link: Link, files: int) -> None:
        self._link = link
        self._files = files
        self._seen: Counter[UpdateState] = Counter()

    async def update(self, action: int, body: bytes) -> UpdateState:
        """The answer, once the device has copied what it has itself. Raises LinkError."""
        state = self._checked(await self._link.update(action, body))
        while state.state == COPYING:
            state = self._checked(await self._link.update(ASK))
        return state

    def _checked(self, state: UpdateState) -> UpdateState:
        self._seen[state] += 1
        if self._seen[state] > SAME_PIECE_TRIES:
            raise UpdateFailed(
                f"the device does not get on: it was at byte {state.offset} of file {state.file} "
                f"{SAME_PIECE_TRIES} times; reset it and update again"
            )
        if state.state == TAKING and state.file >= self._files:
            raise UpdateFailed(
                f"the device wants file {state.file}, expected one of {self._files} (from 0 on): "
                "reset it and update again"
            )
        return state


async def update(
    link: Link,
    status: dict[str, Any],
    *,
    keys: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Bring the device with that `status` up to the files here; returns the bytes that were sent. Raises LinkError.

    An update that broke off goes on where it was. The device restarts by itself when it is complete. progress(done,
    total): bytes of files that the device has, as far as known.
    """
    path = keys or keys_path()
    key = _read_keys(path).get(status["device_id"])
    if key is None:
        raise UpdateFailed(
            f"this computer has no key of device {status['device_id']}: expected it in {path}, where "
            "`retrostep pair` puts it for the first computer that pairs with a device; others flash by cable"
        )
    state = await link.update(ASK)
    with tempfile.TemporaryDirectory() as scratch:
        files = compile_application(Path(scratch), march_of(state.mpy))
        check_compiled("the device", files, state.mpy)
        names = list(files)
        manifest = manifest_of(files, state.mpy)
        sizes = [files[name].stat().st_size for name in names]
        total = sum(sizes)
        await _send_manifest(link, manifest)
        signature = hmac.new(bytes.fromhex(key), manifest, hashlib.sha256).digest()
        exchange = _Exchange(link, len(names))
        state = await exchange.update(START, signature)
        sent = 0
        while state.state == TAKING:
            progress(sum(sizes[: state.file]) + state.offset, total)
            content = files[names[state.file]].read_bytes()
            piece = content[state.offset : state.offset + PIECE_BYTES]
            where = state.file.to_bytes(2, "little") + state.offset.to_bytes(4, "little")
            state = await exchange.update(DATA, where + piece)
            sent += len(piece)
    if state.state != COMPLETE:
        raise UpdateFailed(f"the device is in an unexpected state ({state.state}): update again")
    progress(total, total)
    if (await link.update(FINISH)).state != SWITCHED:
        raise UpdateFailed("the device did not switch to the new application: update again")
    return sent
