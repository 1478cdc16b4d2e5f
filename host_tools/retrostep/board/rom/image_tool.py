"""Works on a flash image from outside a board: creates, installs, lists, extracts. Started by flash_image.py.

Argument: path of a JSON file {"image", "action", "answer", "files"}; the answer is written as JSON.
"""

import json
import os
import sys

import vfs
from virtual import flash

_FLASH = "/flash"


def _make_folders(path):
    parts = path.split("/")[1:-1]
    for i in range(len(parts)):
        folder = _FLASH + "/" + "/".join(parts[: i + 1])
        try:
            os.mkdir(folder)
        except OSError as error:
            if error.errno != 17:
                raise


def _copy(source, target):
    buf = bytearray(4096)
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while True:
            n = reader.readinto(buf)
            if not n:
                return
            writer.write(memoryview(buf)[:n])


def _install(order):
    for here, there in order["files"]:
        _make_folders(there)
        _copy(here, _FLASH + there)


def _list(order):
    found = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for entry in os.ilistdir(_FLASH + (folder or "/")):
            path = folder + "/" + entry[0]
            if entry[1] & 0x4000:
                folders.append(path)
            else:
                found.append([path, entry[3]])
    return found


def _extract(order):
    for here, there in order["files"]:
        _copy(_FLASH + there, here)


with open(sys.argv[1]) as _file:
    _order = json.load(_file)
_answer = {}
try:
    _device = flash.Flash(_order["image"])
    if _order["action"] == "create":
        vfs.VfsLfs2.mkfs(_device)
    vfs.mount(vfs.VfsLfs2(_device, mtime=False), _FLASH)
    _action = {"create": _install, "install": _install, "list": _list, "extract": _extract}[_order["action"]]
    _answer["value"] = _action(_order)
    vfs.umount(_FLASH)
except (OSError, ValueError) as _error:
    _answer["error"] = "%s %s" % (type(_error).__name__, _error)
with open(_order["answer"], "w") as _file:
    json.dump(_answer, _file)
