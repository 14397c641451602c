"""The PEP 517 back end of rmon's Python package: builds librmon with cargo, then hands over to setuptools.

Nothing is written into the source tree. What setuptools is to see is laid out in a temporary folder:

    pyproject.toml  setup.py  README.md  LICENSE*
    src/                    the extension module's C sources
    rmon/                   the Python sources, and
      _version.py             the version, from Cargo.toml
      include/                the C and C++ headers
      lib/librmon.so.0        the library
      lib/librmon.so          a linker script, so that -lrmon finds librmon.so.0
      lib/pkgconfig/          rmon.pc, and rmon-headers.pc for what links with nothing
      lib/cmake/rmon/         the CMake package

The crate is the repository around this folder; in an sdist it is the folder librmon/, as `cargo package` makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from setuptools import build_meta

PACKAGE = Path(__file__).resolve().parent.parent  # the folder with pyproject.toml
IN_SDIST = (PACKAGE / "librmon").is_dir()
CRATE = PACKAGE / "librmon" if IN_SDIST else PACKAGE.parent.parent

SONAME = "librmon.so.0"
# What the crate has and the wheel has, too: a pattern in the crate, and a folder of the wheel.
SHARED = (
    ("include/*.h", "rmon/include"),
    ("bindings/cpp/*.hpp", "rmon/include"),
    ("packaging/cmake/*.cmake", "rmon/lib/cmake/rmon"),
    ("packaging/pkgconfig/*.pc", "rmon/lib/pkgconfig"),
)
DOCUMENTS = ("README.md", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT")
SOURCES = ("pyproject.toml", "_build", "rmon", "src", "tests")  # what an sdist has, besides the crate and DOCUMENTS

# -lrmon must find the library, which has one file, under one name: wheels have no symbolic links.
LINKER_SCRIPT = f"""\
/* GNU ld script: -lrmon means {SONAME}. */
INPUT ( {SONAME} )
"""


# ---- The hooks ----


def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_sdist(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    metadata_directory = os.path.abspath(metadata_directory)
    with laid_out():
        return build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wheel_directory = os.path.abspath(wheel_directory)
    with laid_out() as folder:
        lay_out_library(folder)
        return build_meta.build_wheel(wheel_directory, config_settings)


def build_sdist(sdist_directory, config_settings=None):
    name = f"rmon-{version()}"
    with tempfile.TemporaryDirectory(prefix="rmon-sdist-") as temporary:
        folder = Path(temporary, name)
        folder.mkdir()
        for source in SOURCES:
            copy(PACKAGE / source, folder / source)
        for document in DOCUMENTS:
            copy(document_path(document), folder / document)
        copy_crate(folder / "librmon", Path(temporary))
        metadata = prepare_metadata_for_build_wheel(temporary, config_settings)
        copy(Path(temporary, metadata, "METADATA"), folder / "PKG-INFO")
        with tarfile.open(Path(sdist_directory, f"{name}.tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder, name, filter=without_owner)
    return f"{name}.tar.gz"


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    raise SystemExit("rmon cannot be installed in editable mode, since it is compiled: leave out -e or --editable")


# ---- The package ----


def version() -> str:
    manifest = (CRATE / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^\[package\]$(?:\n(?!\[).*)*?\nversion = "([^"]+)"$', manifest, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{CRATE / 'Cargo.toml'}: no version in [package]")
    return found.group(1)


@contextlib.contextmanager
def laid_out() -> Iterator[Path]:
    """Everything but the library in a temporary folder, which is the current one meanwhile."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="rmon-build-") as temporary:
        folder = Path(temporary)
        for source in ("pyproject.toml", "rmon", "src"):
            copy(PACKAGE / source, folder / source)
        copy(PACKAGE / "_build" / "setup.py", folder / "setup.py")
        for document in DOCUMENTS:
            copy(document_path(document), folder / document)
        for pattern, target in SHARED:
            for source in CRATE.glob(pattern):
                copy(source, folder / target / source.name)
        text = f'"""The version. Written by the build, from Cargo.toml."""\n\nversion = "{version()}"\n'
        (folder / "rmon" / "_version.py").write_text(text, encoding="utf-8")
        template = folder / "rmon" / "lib" / "pkgconfig" / "rmon.pc.in"
        text = template.read_text(encoding="utf-8").replace("@VERSION@", version())
        template.with_suffix("").write_text(text, encoding="utf-8")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def document_path(name: str) -> Path:
    return (PACKAGE if IN_SDIST else CRATE) / name


def copy(source: Path, target: Path) -> None:
    """Copies a file or a folder, without what Python leaves behind when it runs there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copyfile(source, target)


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# ---- The crate ----


def cargo() -> str:
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    found = os.environ.get("CARGO") or shutil.which("cargo") or shutil.which("cargo", path=os.path.join(home, "bin"))
    if found is None:
        raise SystemExit(
            "rmon needs Rust to be built: there is no `cargo` on the PATH. Install Rust (see rustup.rs, or your "
            "distribution's packages rustc and cargo), then try again."
        )
    return found


def lay_out_library(folder: Path) -> None:
    """Puts librmon into rmon/lib."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("rmon's Python package can be built on Linux only")
    lib = folder / "rmon" / "lib"
    copy(build_library(folder), lib / SONAME)
    (lib / "librmon.so").write_text(LINKER_SCRIPT, encoding="utf-8")


def build_library(folder: Path) -> Path:
    """Builds librmon; its file. Several builds may go on at once: cargo makes them wait for each other."""
    # A target folder of its own within cargo's: these settings are not those of a plain `cargo build --release`, and
    # each would throw away what the other has built.
    own = IN_SDIST or not os.access(CRATE, os.W_OK)
    target = os.environ.get("CARGO_TARGET_DIR") or (folder if own else CRATE) / "target"
    settings = {"CARGO_PROFILE_RELEASE_DEBUG": "false", "CARGO_PROFILE_RELEASE_STRIP": "debuginfo"}
    command = [cargo(), "build", "--release", "--lib", "--no-default-features", "--locked"]
    command += ["--target-dir", str(CRATE / target / "python"), "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=CRATE, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("cargo could not build librmon: see above")
    for line in done.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        for name in message.get("filenames", ()):
            if Path(name).name == "librmon.so":
                return Path(name)
    raise SystemExit("cargo built librmon, but no librmon.so")


def copy_crate(folder: Path, temporary: Path) -> None:
    """The crate as it is published: with a Cargo.toml and a Cargo.lock that need no workspace around them."""
    if IN_SDIST:
        copy(CRATE, folder)
        return
    target = temporary / "target"
    command = [cargo(), "package", "--no-verify", "--allow-dirty", "--quiet", "--package", "rmon"]
    command += ["--target-dir", str(target)]
    if subprocess.run(command, cwd=CRATE).returncode != 0:
        raise SystemExit("cargo could not package the crate: see above")
    name = f"rmon-{version()}"
    with tarfile.open(target / "package" / f"{name}.crate") as archive:
        archive.extractall(temporary / "crate")
    shutil.move(str(temporary / "crate" / name), str(folder))
    for unneeded in ("Cargo.toml.orig", ".cargo_vcs_info.json"):
        (folder / unneeded).unlink(missing_ok=True)
