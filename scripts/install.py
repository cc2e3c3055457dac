"""Install into a virtual environment, made where there is none, at the versions we pin.

    python scripts/install.py FOLDER [-e] WHAT ...

With uv where it is at hand or can be had, in a fraction of pip's time; else with pip.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"

UV = {
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
}
"""What uv calls the settings of pip that it does not read: where packages come from."""


def main(folder: Path, what: list[str]) -> None:
    """Install `what` into the environment in `folder`; ends with the code of what failed."""
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = str(programs / "python")
    if not programs.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    if not (uv := find_uv(programs)):
        subprocess.run([*pip, "install", "--quiet", "-c", CONSTRAINTS, "uv"], capture_output=True)
        uv = find_uv(programs)
    asked = ["-c", str(CONSTRAINTS), *what]
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", python, *asked]
        if subprocess.run(command, env=uv_environment(pip)).returncode == 0:
            return
        print("uv could not; trying with pip", file=sys.stderr)
    sys.exit(subprocess.run([*pip, "install", "--quiet", *asked]).returncode)


def find_uv(programs: Path) -> str | None:
    """Return uv's path: the environment's, this interpreter's, or the user's."""
    folders = (str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    return shutil.which("uv", path=os.pathsep.join(folders))


def uv_environment(pip: list[str]) -> dict[str, str]:
    """Return this environment with uv told what pip is told, in files and in variables."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
    settings = re.findall(r"\.([\w-]+)='(.*)'$", listed, re.M)
    told = {UV[name]: value for name, value in settings if name in UV}
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | told | os.environ


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
