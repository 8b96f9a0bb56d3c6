"""What the docs say of the program is what the program says."""

import importlib.util
import re
import sys
from pathlib import Path

import undark
from undark.cli import app

ROOT = Path(__file__).parents[1]


def _script(name, folder="scripts"):
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
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


def test_one_command_makes_every_picture_of_the_docs():
    jobs = _script("make_docs", "benchmarks").JOBS
    made = {picture for job in jobs.values() for picture in job.pictures}
    kinds = {".jpg", ".png", ".gif"}
    assert made == {p.name for p in (ROOT / "docs").iterdir() if p.suffix in kinds}


def test_one_command_makes_every_table_of_the_results():
    make_docs = _script("make_docs", "benchmarks")
    text = "".join(page.read_text() for page in make_docs.pages())
    placed = re.findall(r"<!-- end (\S+) -->", text)
    assert sorted(placed) == sorted(n for n, job in make_docs.JOBS.items() if job.prints)
    assert all(make_docs.block(name).search(text)[0].strip() for name in placed)


def test_pictures_and_links_of_the_docs_lead_somewhere():
    for page in (ROOT / "docs").glob("*.md"):
        links = re.findall(r"\]\((?!http)([^)#\s]+)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == []
