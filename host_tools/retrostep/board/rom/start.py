"""First code of the virtual board: becomes the ROM, mounts the flash, runs boot.py and main.py, then the REPL.

Arguments: path of the JSON file in which the supervisor describes this life (VirtualBoard._begin), then further
ROM folders.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    _life = json.load(_file)
sys.path[1:] = sys.argv[2:] + [".frozen"]


def _fill_pools_of_names():
    """Have the interpreter make the pool that takes the next 2,560 identifiers.

    Its pools double in size. What the ROM's own names fill must not decide when the device has to pay for one: it
    pays for its pools by having less heap (VirtualBoard._begin). Done first: the ROM fills the holes that it leaves.
    """
    import gc

    for number in range(_life["names"]):
        hasattr(None, "q%d" % number)
        if not number % 16:
            gc.collect()


_fill_pools_of_names()


def _replace_micropython():
    """`micropython` with a kbd_intr that knows the terminal; the rest is the interpreter's own."""
    import micropython

    class Micropython:
        pass

    double = Micropython()
    for name in dir(micropython):
        if name[0] != "_" and name != "kbd_intr":
            setattr(double, name, getattr(micropython, name))
    from virtual import repl

    double.kbd_intr = repl.interrupt_character
    sys.modules["micropython"] = double


def _start():
    from virtual import channel

    channel.open_channel(_life["fd_in"], _life["fd_out"])
    from virtual import clock

    clock.start(_life["state"])
    import random
    import select  # noqa: F401
    import time  # noqa: F401

    from virtual import board, bus, flash, pins, repl, tasks, vibration

    # The ESP32 seeds it from its noise source at each start: here every start differs, but the same way each time.
    random.seed((_life["seed"] * 1000003 + clock.now_us) & 0x3FFFFFFF)

    sys.modules["_asyncio"] = tasks
    import asyncio  # noqa: F401  (it must find our clock before the posix files go)
    import os  # noqa: F401

    import esp32  # noqa: F401
    import machine  # noqa: F401

    wiring = _life["wiring"]
    pins.name({int(number): role for number, role in wiring["names"].items()})
    vibration.fit(wiring["motor"])
    chips = []
    for fitted in wiring["chips"]:
        module = __import__("virtual." + fitted["model"], None, None, ["Chip"])
        chip = module.Chip(
            fitted, _life["state"]["feed"], [pins.net(number) for number in fitted["int_pins"]]
        )
        bus.attach(fitted["sda"], fitted["scl"], fitted["address"], chip)
        chips.append(chip)
    for module in _life["extra_modules"]:
        __import__(module)
    saved = _life["state"]["chips"]
    for i in range(len(chips)):
        if saved:
            chips[i].load(saved[i])
        else:
            chips[i].power_on()
    board.start(_life, chips)
    repl.open_console(_life["tty"])
    _replace_micropython()
    flash.device = flash.Flash(_life["image"], _life["counters"], _life["block_size"])
    return flash.device


def _mount(device):
    """The flash becomes "/". No modification times: they would be the host's."""
    import vfs

    channel = sys.modules["virtual.channel"]
    channel.on("flash_cut", lambda command: _set_cut(device, command))
    for command in _life["flash_cut"]:
        _set_cut(device, command)
    vfs.umount("/")
    try:
        vfs.mount(vfs.VfsLfs2(device, mtime=False), "/")
    except OSError:
        first = bytearray(64)
        device.readblocks(0, first, 0)
        if first != b"\xff" * 64:
            print("The filesystem appears to be corrupted; use mpremote to format it, or make a new image.")
            return
        vfs.VfsLfs2.mkfs(device)
        vfs.mount(vfs.VfsLfs2(device, mtime=False), "/")


def _set_cut(device, command):
    device.cut_after = command["after"]
    device.cut_torn = command["torn"]


def _limit_heap(bytes_free):
    """Take away what the ROM left over the heap that was asked for."""
    import gc

    gc.collect()
    spare = gc.mem_free() - bytes_free
    return bytearray(spare) if spare > 0 else None


_device = _start()
_mount(_device)
sys.path[:] = ["", ".frozen", "/lib"]
del sys.argv[:]
_ballast = _limit_heap(_life["heap"])
sys.modules["virtual.channel"].send(
    {"event": "boot", "us": sys.modules["virtual.clock"].now_us, "cause": _life["cause"]}
)
_repl = sys.modules["virtual.repl"]
if _repl.run_file("boot.py") and _life["repl"] == "friendly":
    _repl.run_file("main.py")
_repl.serve(_life["repl"])
