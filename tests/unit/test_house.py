"""Rules of the house that a reader would otherwise have to watch by eye."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("shared", "victim_service", "attacker")
    for path in (ROOT / package).rglob("*.py")
)  # fmt: skip
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {("torch", "load"), ("torch", "save"), ("yaml", "load"), ("np", "load")}


def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in SOURCES]


def test_modules_and_functions_stay_small() -> None:
    assert len(SOURCES) > 80
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert statistics.median(lengths.values()) <= 150
    assert [str(path) for path, lines in lengths.items() if lines > 400] == []
    long = [
        f"{path.name}:{node.name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert long == []


def test_nothing_can_run_code_from_a_file() -> None:
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [path.name for name in node.names if name.name in UNSAFE_MODULES]
            elif isinstance(node, ast.ImportFrom) and node.module in UNSAFE_MODULES:
                found.append(path.name)
            elif isinstance(node, ast.Call) and is_unsafe(node.func):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


def is_unsafe(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id in {"eval", "exec", "__import__"}
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return (called.value.id, called.attr) in UNSAFE_CALLS
    return False


@pytest.mark.parametrize("source", ["eval('1')", "torch.load(x)", "yaml.load(x)", "np.load(x)"])
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    call = ast.parse(source).body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert is_unsafe(call.value.func)


def test_input_is_never_validated_by_assert() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_only_one_file_of_each_side_reads_the_environment() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    victim = {name for name in readers if name.startswith("victim_service/")}
    assert victim <= {"victim_service/settings.py"}
