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


def _imports(path):
    """undark's packages that a file imports, and the other packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "undark":  # `from undark import learn` is undark.learn
                yield from (f"undark.{a.name}" for a in node.names if a.name in ORDER)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _files():
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, path


@pytest.mark.parametrize(("name", "path"), list(_files()), ids=lambda v: getattr(v, "name", v))
def test_packages_import_only_from_above(name, path):
    for module in _imports(path):
        if module.startswith("undark."):
            other = module.split(".")[1]
            assert other == name or ORDER[other] < ORDER[name], f"{path.name} imports {module}"


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
    users = {r for r, path in _files() for m in _imports(path) if m.split(".")[0] == package}
    assert users == packages


FRONT_ENDS = {"cli", "__main__"}


@pytest.mark.parametrize(
    "path",
    [path for name, path in _files() if name not in FRONT_ENDS],
    ids=lambda path: path.relative_to(SOURCE).as_posix(),
)
def test_library_packages_never_print(path):
    """They return, raise or warn; only front ends print, and only they use typer and rich."""
    tree = ast.parse(path.read_text())
    named = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    attributes = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    assert "print" not in named
    assert not {"sys.stdout", "sys.stderr"} & set(attributes)
    assert not {"typer", "rich", "click"} & {m.split(".")[0] for m in _imports(path)}


def test_no_package_imports_a_front_end():
    users = {name for name, path in _files() for m in _imports(path) if "undark.cli" in m}
    assert users == FRONT_ENDS


def test_from_the_command_to_the_restored_photo_are_three_hops():
    """cli/restore.py → restoring/jobs.py → restoring/raw.py, and no short cut."""
    command = set(_imports(SOURCE / "cli" / "restore.py"))
    assert "undark.restoring.jobs" in command
    assert "undark.restoring.raw" not in command
    assert "undark.restoring.raw" in set(_imports(SOURCE / "restoring" / "jobs.py"))


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
