"""Which package may import which, and what `import undark` costs."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import undark

SOURCE = Path(undark.__file__).parent

# A package imports only from those above it. Front ends come last.
PACKAGES = [
    ["errors", "cpus"],
    ["sensor"],
    ["develop"],
    ["align"],
    ["files"],
    ["engine"],
    ["export"],
    ["restoring"],
    ["calibrate"],
    ["pairs"],
    ["evaluation"],
    ["learn"],
    ["fastai"],
    ["demo"],
    ["web"],
    ["cli"],
    ["__main__"],
]
ORDER = {name: rank for rank, names in enumerate(PACKAGES) for name in names}


FILES = [
    (path.relative_to(SOURCE).parts[0].removesuffix(".py"), path)
    for path in sorted(SOURCE.rglob("*.py"))
    if path != SOURCE / "__init__.py"
]
"""Package and path of each file."""


@cache
def _parsed(path):
    """Modules that a file imports, undark's own in full; names and attributes that it uses.

    A file is parsed once for all rules.
    """
    imports, uses = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports.add(node.module)
            if node.module == "undark":  # `from undark import learn` is undark.learn
                imports |= {f"undark.{a.name}" for a in node.names if a.name in ORDER}
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Name):
            uses.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            uses.add(f"{node.value.id}.{node.attr}")
    return imports, uses


def _imports(path):
    return _parsed(path)[0]


def _outside(path):
    """Top-level packages that a file imports."""
    return {module.split(".")[0] for module in _imports(path)}


def _violations(rule, but=()):
    """Files of packages other than `but` → what a rule says of them, without those it passes."""
    said = {
        path.relative_to(SOURCE).as_posix(): rule(name, path)
        for name, path in FILES
        if name not in but
    }
    return {path: found for path, found in said.items() if found}


def test_the_files_are_found():
    """A folder without files would break no rule."""
    assert len(FILES) > 200
    assert {name for name, _ in FILES} >= set(ORDER)


def test_packages_import_only_from_above():
    def from_below(name, path):
        ours = {m.split(".")[1] for m in _imports(path) if m.startswith("undark.")}
        return {other for other in ours - {name} if ORDER[other] >= ORDER[name]}

    assert _violations(from_below) == {}


@pytest.mark.parametrize(
    ("package", "packages"),
    [
        ("torch", {"learn", "fastai"}),
        ("lightning", {"learn"}),
        ("fastai", {"fastai"}),
        ("rawpy", {"files"}),
        ("onnxruntime", {"engine"}),
        ("onnx", {"export", "learn"}),
        ("openvino", {"engine"}),
        ("skimage", {"develop"}),
        ("ray", {"restoring"}),
        ("starlette", {"web"}),
        ("uvicorn", {"web"}),
        ("OpenImageIO", set()),
    ],
)
def test_packages_that_few_others_import(package, packages):
    assert {name for name, path in FILES if package in _outside(path)} == packages


FRONT_ENDS = {"cli", "__main__"}


def test_library_packages_never_print():
    """They return, raise or warn; only front ends print, and only they use typer and rich."""

    def printing(_, path):
        printed = _parsed(path)[1] & {"print", "sys.stdout", "sys.stderr"}
        return printed | _outside(path) & {"typer", "rich", "click"}

    assert _violations(printing, but=FRONT_ENDS) == {}


def test_no_package_imports_a_front_end():
    users = {name for name, path in FILES if any("undark.cli" in m for m in _imports(path))}
    assert users == FRONT_ENDS


def test_from_the_command_to_the_restored_photo_are_three_hops():
    """cli/restore.py → restoring/jobs.py → restoring/raw.py, and no short cut."""
    command = _imports(SOURCE / "cli" / "restore.py")
    assert "undark.restoring.jobs" in command
    assert "undark.restoring.raw" not in command
    assert "undark.restoring.raw" in _imports(SOURCE / "restoring" / "jobs.py")


def test_importing_undark_is_light():
    code = (
        "import sys, undark; from undark import cli;"
        "names = {'torch', 'lightning', 'fastai', 'skimage', 'scipy', 'onnxruntime', 'openvino'};"
        "heavy = (names | {'ray'}) & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there():
    for name in undark.__all__:
        assert getattr(undark, name) is not None
    assert callable(undark.restore)
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = undark.nonesuch
