"""Mutation testing: the fraction of deliberate faults in the source that no test detects.

    python scripts/mutate.py sensor develop engine restoring learn:1 --json mutants.json

Arguments are folders or files under src/undark; `:N` sets the number of mutants of each module. The
faults depend only on the seed and the module's text. Each is made in a copy of the source, which is
tested with the test files that import the module, then with those that import a user of the module;
`killed` means that a test failed. `--only mutants.json` repeats the survivors of an earlier run,
and `--tests FILE …` names the tests for it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGE = "undark"
SKIPPED = r"kills|several_processes|end_to_end|tune|fastai|docs|real_raw"
"""Test files that run only if no other imports the module: slow or end-to-end tests."""
SLOW_TEST, SLOW_FILE = 10.0, 15.0
"""Seconds. A slower test is left out; a slower file runs only if no other imports the module."""
FACTOR = 1.25
"""Floating-point constants are multiplied by this; integers are increased by 1."""
PERFORMANCE = re.compile(
    r"band|tile|chunk|every|workers|threads|cache|curve_steps|severity|frames_a_second|version",
    re.IGNORECASE,
)
"""Assignments to such names are not mutated: they affect the speed, or nothing."""
MACHINE = {"cpu_count", "sched_getaffinity", "default_rng", "manual_seed", "getLogger", "print"}
"""Calls whose arguments are not mutated: cores, seeds, messages."""
CONVERSIONS = {
    "asarray",
    "ascontiguousarray",
    "float",
    "int",
    "bool",
    "str",
    "tuple",
    "list",
    "Path",
}
"""Calls that are not replaced by their argument: the result would hardly differ."""
HINTS = {"strict", "dtype", "device", "kind", "seed", "map_location", "console", "highlight"}
"""Keyword arguments that are not mutated: without them little or nothing changes."""

SWAPS: dict[type[ast.AST], tuple[tuple[str, type[Any]], ...]] = {
    ast.Lt: (("boundary", ast.LtE), ("comparison", ast.GtE)),
    ast.LtE: (("boundary", ast.Lt), ("comparison", ast.Gt)),
    ast.Gt: (("boundary", ast.GtE), ("comparison", ast.LtE)),
    ast.GtE: (("boundary", ast.Gt), ("comparison", ast.Lt)),
    ast.Eq: (("comparison", ast.NotEq),),
    ast.NotEq: (("comparison", ast.Eq),),
    ast.Is: (("comparison", ast.IsNot),),
    ast.IsNot: (("comparison", ast.Is),),
    ast.In: (("comparison", ast.NotIn),),
    ast.NotIn: (("comparison", ast.In),),
    ast.Add: (("arithmetic", ast.Sub),),
    ast.Sub: (("arithmetic", ast.Add),),
    ast.Mult: (("arithmetic", ast.Div),),
    ast.Div: (("arithmetic", ast.Mult),),
    ast.FloorDiv: (("arithmetic", ast.Mult),),
    ast.And: (("and/or", ast.Or),),
    ast.Or: (("and/or", ast.And),),
}
ENDS = {"min": "max", "minimum": "maximum", "argmin": "argmax", "amin": "amax"}
ENDS |= {high: low for low, high in ENDS.items()}


@dataclass
class Site:
    """A possible fault: `field` of `parent` (its item `index`) is replaced by `new`."""

    kind: str
    statement: ast.stmt
    parent: ast.AST
    field: str
    index: int | None
    new: Any

    def make(self) -> tuple[int, str, str]:
        """Change the tree → the line, and the statement before and after."""
        before = _first_line(self.statement)
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new
        line = getattr(self.parent, "lineno", self.statement.lineno)
        return line, before, _first_line(self.statement)


@dataclass
class Mutant:
    """A fault and the outcome of its tests."""

    package: str
    module: str
    site: int
    kind: str
    line: int
    before: str
    after: str
    outcome: str = ""
    seconds: float = 0.0
    by: str = ""


def _first_line(statement: ast.stmt) -> str:
    lines = ast.unparse(statement).splitlines()
    return next(line for line in lines if not line.startswith("@"))[:240]


# --- the possible faults ------------------------------------------------------------------------


def find_sites(tree: ast.Module) -> list[Site]:
    """All possible faults of a module, in the order of its text."""
    return [site for node in tree.body for site in _visit(node, node)]


def _visit(node: ast.AST, statement: ast.stmt) -> Iterator[Site]:
    if _left_alone(node):
        return
    if isinstance(node, ast.stmt):
        statement = node
    yield from _faults(node, statement)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST):
                continue
            at = index if isinstance(value, list) else None
            yield from _replacements(node, field, at, child, statement)
            yield from _visit(child, statement)


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(PERFORMANCE.search(ast.unparse(target)) for target in targets)
    if isinstance(node, ast.keyword):
        return node.arg in HINTS
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        return getattr(node.value, "attr", "") == "shape"  # such a fault breaks, or has no effect
    if isinstance(node, ast.Call):
        return any(_named(call) in MACHINE for call in ast.walk(node) if isinstance(call, ast.Call))
    return False


def _named(call: ast.Call) -> str:
    """The last part of the called function's name."""
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def _faults(node: ast.AST, statement: ast.stmt) -> Iterator[Site]:
    """Faults within a node: operators, bounds, limits, arguments."""
    if isinstance(node, ast.Compare):
        for index, sign in enumerate(node.ops):
            for kind, new in SWAPS.get(type(sign), ()):
                yield Site(kind, statement, node, "ops", index, new())
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and not _of_words(node):
        for kind, new in SWAPS.get(type(node.op), ()):
            yield Site(kind, statement, node, "op", None, new())
    if isinstance(node, ast.Slice):
        for end, bound in (("lower", node.lower), ("upper", node.upper)):
            if bound is not None or end == "lower":
                yield Site("slice", statement, node, end, None, _one_more(bound))
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
        if node.value.args and _named(node.value) not in CONVERSIONS:
            yield Site("return", statement, node, "value", None, node.value.args[0])
    elif isinstance(node, ast.Call):
        yield from _faults_of_call(node, statement)


def _faults_of_call(call: ast.Call, statement: ast.stmt) -> Iterator[Site]:
    name = _named(call)
    if name in ENDS:
        func = copy.deepcopy(call.func)
        if isinstance(func, ast.Attribute):
            func.attr = ENDS[name]
        elif isinstance(func, ast.Name):
            func.id = ENDS[name]
        yield Site("min/max", statement, call, "func", None, func)
    if name in ("clip", "clamp"):
        first = 1 if len(call.args) > 2 else 0
        for index, limit in list(enumerate(call.args))[first:]:
            if not (isinstance(limit, ast.Constant) and limit.value is None):
                yield Site("clip", statement, call, "args", index, _one_more(limit))
    for given in call.keywords:
        if given.arg and given.arg not in HINTS:
            rest = [other for other in call.keywords if other is not given]
            yield Site("argument", statement, call, "keywords", None, rest)


def _replacements(
    parent: ast.AST, field: str, index: int | None, child: ast.AST, statement: ast.stmt
) -> Iterator[Site]:
    """Faults that replace a node: numbers, `not`, the minus sign."""
    if isinstance(child, ast.stmt):
        statement = child
    elif isinstance(child, ast.Constant) and isinstance(child.value, bool | int | float):
        if not (isinstance(parent, ast.keyword) and parent.arg in HINTS):
            yield Site("constant", statement, parent, field, index, _another(child.value))
    elif isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.Not | ast.USub):
        kind = "comparison" if isinstance(child.op, ast.Not) else "arithmetic"
        yield Site(kind, statement, parent, field, index, child.operand)


def _another(value: bool | int | float) -> ast.Constant:
    if isinstance(value, bool):
        return ast.Constant(not value)
    if isinstance(value, int):
        return ast.Constant(value + 1)
    return ast.Constant(value * FACTOR if value else 1.0)


def _one_more(bound: ast.expr | None) -> ast.expr:
    return ast.Constant(1) if bound is None else ast.BinOp(bound, ast.Add(), ast.Constant(1))


def _of_words(node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> bool:
    """Whether the operands are strings."""
    parts = [getattr(node, side, None) for side in ("left", "right", "value")]
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in parts
    )


def choose(module: str, package: str, source: str, count: int, seed: int) -> list[Mutant]:
    """Select faults of a module: a random kind, then a random one of it, at most one per line."""
    sites = find_sites(ast.parse(source))
    generator = random.Random(f"{seed} {len(sites)}")  # independent of the file's path
    kinds = sorted({site.kind for site in sites})
    chosen: list[Mutant] = []
    lines: set[int] = set()
    while len(chosen) < count and kinds:
        kind = generator.choice(kinds)
        numbers = [n for n, site in enumerate(sites) if site.kind == kind]
        generator.shuffle(numbers)
        made = (make(module, package, source, number)[0] for number in numbers)
        mutant = next((m for m in made if m.line not in lines and m.before != m.after), None)
        if mutant is None:
            kinds.remove(kind)
            continue
        lines.add(mutant.line)
        chosen.append(mutant)
    return sorted(chosen, key=lambda mutant: mutant.line)


def make(module: str, package: str, source: str, number: int) -> tuple[Mutant, str]:
    """The fault with a number of `find_sites`, and the text of the changed module."""
    tree = ast.parse(source)
    site = find_sites(tree)[number]
    line, before, after = site.make()
    text = ast.unparse(ast.fix_missing_locations(tree))
    return Mutant(package, module, number, site.kind, line, before, after), text


def find_again(tree: Path, old: dict[str, Any]) -> list[tuple[Mutant, str]]:
    """The fault of an earlier run, also if its statement has moved; empty if it is gone."""
    source = tree / "src"
    places = [source / old["module"], *sorted((source / PACKAGE).rglob("*.py"))]
    for path in filter(Path.exists, places):
        text, module = path.read_text(), path.relative_to(source).as_posix()
        for number, site in enumerate(find_sites(ast.parse(text))):
            if site.kind == old["kind"] and _first_line(site.statement) == old["before"]:
                mutant, changed = make(module, old["package"], text, number)
                if mutant.after == old["after"]:
                    return [(mutant, changed)]
    print(f"{old['module']}:{old['line']} is gone: {old['before']}", flush=True)
    return []


# --- the tests of a module ----------------------------------------------------------------------


class Imports:
    """The imports of modules and tests, by name."""

    def __init__(self, tree: Path) -> None:
        source = tree / "src"
        self._names = {_dotted(path.relative_to(source)) for path in source.rglob("*.py")}
        texts = {_dotted(p.relative_to(source)): p.read_text() for p in source.rglob("*.py")}
        pattern = rf'"(\w+)": \("({PACKAGE}[\w.]*)"'  # the lazily imported public names
        self._public = dict(re.findall(pattern, texts[PACKAGE]))
        self._of = {name: self._imported(text) for name, text in texts.items()}
        self._tests = {p: self._imported(p.read_text()) for p in (tree / "tests").glob("test_*.py")}

    def _imported(self, text: str) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in self._names else node.module)
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == PACKAGE:
                found.add(self._public.get(node.attr, PACKAGE))
        return found & self._names - {PACKAGE}

    def concerned(self, module: str) -> tuple[list[Path], list[Path]]:
        """Test files that import a module, and those that only import a user of it."""
        aliases = {module}  # with the packages that export it
        for name, imported in self._of.items():
            if module in imported and name != PACKAGE and module.startswith(f"{name}."):
                aliases.add(name)
        users = {name for name, imported in self._of.items() if imported & aliases} - {PACKAGE}
        users |= {name for name in self._names if name.rpartition(".")[0] in aliases}
        first = [path for path, imported in self._tests.items() if imported & aliases]
        then = [p for p, found in self._tests.items() if found & users and p not in first]
        return first, then


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Runner:
    """Runs tests of a tree against a copy of its source."""

    def __init__(self, tree: Path, timeout: float, skipped: str) -> None:
        self._tree, self._timeout, self._skipped = tree, timeout, skipped
        self._folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self.source = Path(self._folder.name) / "src"
        shutil.copytree(tree / "src", self.source, ignore=shutil.ignore_patterns("__pycache__"))
        self._seconds: dict[str, float] = {}
        self._left_out: list[str] = []
        self._imports = Imports(tree)

    def measure(self, modules: Iterable[str], known: Path | None) -> None:
        """Time each test; exclude slow ones and those that fail without a fault."""
        if known and known.exists():
            self._seconds, self._left_out = json.loads(known.read_text())
            return
        files = {f for m in modules for some in self._imports.concerned(m) for f in some}
        quick = sorted(f for f in files if not re.search(self._skipped, f.name))
        report = Path(self._folder.name) / "times.xml"
        self._pytest(quick, 3600, f"--junitxml={report}", "-o", "junit_family=xunit1")
        for case in ElementTree.parse(report).iter("testcase"):
            file, seconds = case.get("file", ""), float(case.get("time", 0))
            if seconds > SLOW_TEST or any(c.tag in ("failure", "error") for c in case):
                self._left_out.append(f"{file}::{case.get('name')}")
            else:
                self._seconds[file] = self._seconds.get(file, 0) + seconds
        if known:
            known.write_text(json.dumps([self._seconds, self._left_out]))

    def try_out(self, mutant: Mutant, text: str, tests: list[Path] | None) -> None:
        """Test a mutant and set its outcome."""
        path = self.source / mutant.module
        original, began = path.read_text(), time.monotonic()
        stages = [tests] if tests else self._stages(_dotted(Path(mutant.module)))
        mutant.outcome, mutant.by = ("survived" if any(stages) else "untested"), ""
        path.write_text(text)
        try:
            for files in filter(None, stages):
                limit = max(self._timeout, 3 * sum(map(self._time, files)))
                code, output = self._pytest(files, limit, "-x")
                if code:
                    mutant.outcome = "timeout" if code < 0 else "killed"
                    mutant.by = _culprit(output)
                    break
        finally:
            path.write_text(original)
        mutant.seconds = round(time.monotonic() - began, 1)

    def _stages(self, module: str) -> list[list[Path]]:
        first, then = self._imports.concerned(module)
        quick = [
            [f for f in some if not re.search(self._skipped, f.name)] for some in (first, then)
        ]
        quick[1] = [f for f in quick[1] if self._time(f) < SLOW_FILE]
        stages = [sorted(some, key=self._time) for some in quick]
        return stages if any(stages) else [first or then]

    def _time(self, file: Path) -> float:
        return self._seconds.get(file.relative_to(self._tree).as_posix(), 0.0)

    def _pytest(self, files: list[Path], timeout: float, *more: str) -> tuple[int, str]:
        """Exit status, negative after the time limit, and the output."""
        names = [file.relative_to(self._tree).as_posix() for file in files]
        plain = ("-q", "-p", "no:cacheprovider", "--tb=no", "--hypothesis-seed=0")
        out = [f"--deselect={test}" for test in self._left_out]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(self._folder.name) / "hypothesis"),
        }
        shutil.rmtree(environment["HYPOTHESIS_STORAGE_DIRECTORY"], ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *plain, *out, *more, *names],
            cwd=self._tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # the group is this process's own
            process.communicate()
            return -1, ""
        return process.returncode, output


def _culprit(output: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return found[1] if found else output.strip().splitlines()[-1][:100] if output.strip() else ""


# --- the command --------------------------------------------------------------------------------


def find_modules(tree: Path, names: list[str], count: int) -> Iterator[tuple[str, str, int]]:
    """(package, module as a path under src, number of mutants)."""
    root = tree / "src" / PACKAGE
    for name in names:
        folder, _, number = name.partition(":")
        place = root / folder
        if not place.exists():
            place = root / f"{folder}.py"
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            module = file.relative_to(tree / "src").as_posix()
            yield folder.removesuffix(".py"), module, int(number or count)


def table(mutants: list[Mutant]) -> str:
    """Markdown: the outcomes of each package's mutants."""
    lines = ["| package | mutants | timeout | survived | share |", "|---|---|---|---|---|"]
    packages = list(dict.fromkeys(mutant.package for mutant in mutants))
    for package in [*packages, "all"]:
        some = [m for m in mutants if package in (m.package, "all")]
        survived = sum(m.outcome in ("survived", "untested") for m in some)
        timeouts = sum(m.outcome == "timeout" for m in some)
        share = f"{survived / max(len(some), 1):.0%}"
        lines.append(f"| {package} | {len(some)} | {timeouts} | {survived} | {share} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packages", nargs="*", help="folders or files under src/undark, or NAME:N")
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=4, help="of each module")
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="least seconds of one run of tests"
    )
    parser.add_argument("--skip", default=SKIPPED, help="test files that are too slow (regex)")
    parser.add_argument("--json", type=Path, help="where to write the mutants, survivors first")
    parser.add_argument("--resume", action="store_true", help="leave out what is in --json")
    parser.add_argument("--times", type=Path, help="a file that caches the tests' times")
    parser.add_argument("--only", type=Path, help="repeat the survivors in this JSON file")
    parser.add_argument("--tests", type=Path, nargs="+", help="run only these test files")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    asked = parser.parse_args()
    tree = asked.tree.resolve()
    texts, done = [], {}
    if asked.resume and asked.json.exists():
        done = {(m["module"], m["site"]): m for m in json.loads(asked.json.read_text())}
    if asked.only:
        for old in json.loads(asked.only.read_text()):
            if old["outcome"] in ("survived", "untested"):
                texts += find_again(tree, old)
    else:
        for package, module, count in find_modules(tree, asked.packages, asked.mutants):
            source = (tree / "src" / module).read_text()
            for mutant in choose(module, package, source, count, asked.seed):
                texts.append(make(module, package, source, mutant.site))
    mutants = [mutant for mutant, _ in texts]
    if asked.list:
        for m in mutants:
            print(f"{m.module}:{m.line} {m.kind}\n  - {m.before}\n  + {m.after}")
        return
    runner = Runner(tree, asked.timeout, asked.skip)
    tests = [test.resolve() for test in asked.tests or []]
    if not tests:
        runner.measure({_dotted(Path(m.module)) for m in mutants}, asked.times)
    for mutant in mutants:
        for field in ("outcome", "seconds", "by"):
            setattr(mutant, field, done.get((mutant.module, mutant.site), {}).get(field, ""))
    left = [(mutant, text) for mutant, text in texts if not mutant.outcome]
    for number, (mutant, text) in enumerate(left, 1):
        runner.try_out(mutant, text, tests)
        said = f"{mutant.outcome} in {mutant.seconds:.0f} s {mutant.by}"
        print(f"{number}/{len(left)} {mutant.module}:{mutant.line} {said}", flush=True)
        if mutant.outcome != "killed":
            print(f"  - {mutant.before}\n  + {mutant.after}", flush=True)
        if asked.json:
            found = sorted(mutants, key=lambda m: m.outcome not in ("survived", "untested"))
            asked.json.write_text(json.dumps([asdict(m) for m in found if m.outcome], indent=1))
    print(table(mutants))


if __name__ == "__main__":
    main()
