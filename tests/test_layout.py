"""Which package may import which, and what `import undark` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import undark

SOURCE = Path(undark.__file__).parent

# A package imports only from those above it. Front ends come last.
PACKAGES = [
    ["errors"],
    ["sensor"],
    ["develop"],
    ["align"],
    ["files"],
    ["engine"],
    ["restoring"],
    ["pairs"],
    ["evaluation"],
    ["learn"],
    ["fastai"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
ORDER = {name: rank for rank, names in enumerate(PACKAGES) for name in names}


def _imports(path):
    """undark's packages that a file imports, and the other packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _files():
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


@pytest.mark.parametrize(("room", "path"), list(_files()), ids=lambda v: getattr(v, "name", v))
def test_packages_import_only_from_above(room, path):
    for module in _imports(path):
        if module.startswith("undark."):
            other = module.split(".")[1]
            assert other == room or ORDER[other] < ORDER[room], f"{path.name} imports {module}"


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("torch", {"learn", "fastai"}),
        ("lightning", {"learn"}),
        ("fastai", {"fastai"}),
        ("rawpy", {"files"}),
        ("skimage", {"develop"}),
        ("OpenImageIO", set()),
    ],
)
def test_packages_that_few_others_import(package, rooms):
    users = {r for r, path in _files() for m in _imports(path) if m.split(".")[0] == package}
    assert users == rooms


def test_importing_undark_is_light():
    code = (
        "import sys, undark; from undark import cli;"
        "heavy = {'torch', 'lightning', 'fastai', 'skimage', 'scipy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there():
    for name in undark.__all__:
        assert getattr(undark, name) is not None
    assert callable(undark.restore)
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = undark.nonesuch
