"""Writes package.json, which lists the device's files for `mpremote mip install`: `make package`."""

from __future__ import annotations

import json

from retrostep import __version__
from retrostep.device_tree import device_files, device_root


def package_text() -> str:
    """The content of package.json for the files as they are."""
    names = [target.lstrip("/") for _, target in device_files()]
    rows = ",\n".join(f"    {json.dumps([name, name])}" for name in names)
    return f'{{\n  "version": "{__version__}",\n  "urls": [\n{rows}\n  ],\n  "deps": []\n}}\n'


if __name__ == "__main__":
    (device_root() / "package.json").write_text(package_text())
