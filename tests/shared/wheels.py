"""Packages that are made here, and the only ones to be had."""

import zipfile


def wheel(folder, version, package="tinypack", requires=()):
    """Write a package of one module that says its version."""
    module = package.replace("-", "_")
    name = f"{module}-{version}"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as file:
        file.writestr(f"{module}.py", f"version = {version!r}\n")
        info = f"{name}.dist-info"
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}",
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


def only_shop(tmp_path, monkeypatch):
    """Return the only folder where packages are to be had: `tinypack` 1.0 and 2.0."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, version)
    for name, value in {
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": folder,
        "UV_CACHE_DIR": tmp_path / "uv",
        "UV_NO_CONFIG": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder
