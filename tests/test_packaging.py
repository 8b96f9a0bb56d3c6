"""What people install: the wheel's size and parts, the man page, shell completion."""

import io
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from test_docs import _script

ROOT = Path(__file__).parents[1]
MOST = 30_000_000
"""Bytes of a wheel."""


def test_the_wheel_is_small():
    """Compressed as a wheel is, but faster."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for path in sorted((ROOT / "src" / "undark").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(ROOT))
    assert archive.tell() < MOST


def test_the_man_page_is_the_help():
    assert (ROOT / "docs" / "undark.1").read_text() == _script("man_page").page()


def test_the_man_page_is_in_the_wheel_and_in_the_sdist():
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]
    assert hatch["wheel"]["shared-data"]["docs/undark.1"] == "share/man/man1/undark.1"
    assert "/docs/undark.1" in hatch["sdist"]["include"]


@pytest.mark.parametrize(
    "command", [("man", "--warnings", "-l"), ("mandoc", "-Tlint")], ids=lambda c: c[0]
)
def test_the_man_page_has_no_faults(command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    asked = [*command, str(ROOT / "docs" / "undark.1")]
    shown = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout
    assert shown.stderr == ""
    if command[0] == "man":
        assert "--white-balance" in shown.stdout
    else:
        assert shown.stdout == ""


@pytest.mark.parametrize(
    ("words", "offered"),
    [("undark rest", ["restore"]), ("undark restore --quality ", ["best", "fast"])],
)
def test_bash_completes_commands_and_options(run, monkeypatch, words, offered):
    monkeypatch.setenv("_UNDARK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    _, said, _ = run()
    assert said.split() == offered


def test_completion_is_installed_where_bash_reads_it(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    script = tmp_path / "undark"
    script.write_text(f"#!{sys.executable}\nfrom undark.__main__ import main\nmain()\n")
    script.chmod(0o755)
    home = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", "undark --install-completion; true"],
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ".bash_completions/undark.sh" in (tmp_path / ".bashrc").read_text()
    installed = (tmp_path / ".bash_completions" / "undark.sh").read_text()
    assert "_UNDARK_COMPLETE=complete_bash" in installed
