"""What the docs say of the program is what the program says."""

import importlib.util
import re
from pathlib import Path

import undark
from undark.cli import app

ROOT = Path(__file__).parents[1]


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_the_help():
    assert (ROOT / "docs/cli.md").read_text() == _script("cli_docs").reference()


def test_the_reference_has_every_command():
    named = {command.name or command.callback.__name__ for command in app.registered_commands}
    text = (ROOT / "docs/cli.md").read_text()
    assert all(f"## undark {name}\n" in text for name in named)


def test_links_in_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text) + re.findall(r"`(docs/[\w.-]+)`", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_one_version():
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{undark.__version__}"' in pyproject
