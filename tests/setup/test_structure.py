"""The picture of the structure in CONTRIBUTING.md is what the code has, and no modules import each other in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = "labkit"
FRONT = {"__main__": "cli"}  # `python3 -m labkit` is a part of the command line

Graph = dict[str, set[str]]


def modules_of(package: Path) -> dict[str, Path]:
    """Every module below a package, by its dotted name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(node: ast.AST) -> Iterator[str]:
    """What is imported below this node, in functions too, but not what only type checkers read."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for other in node.orelse:
            yield from imports(other)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"line {node.lineno}: a relative import; write its whole name"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def graph_of(package: Path) -> Graph:
    """Which modules of the package each of them imports."""
    modules = modules_of(package)
    graph: Graph = {}
    for name, path in modules.items():
        found = set(imports(ast.parse(path.read_text("utf-8"))))
        homes = {full if full in modules else full.rpartition(".")[0] for full in found}
        graph[name] = (homes & modules.keys()) - {name}
    return graph


def circles(graph: Graph) -> list[set[str]]:
    """The groups of modules in which each can be reached from each other."""
    reached = {name: below(name, graph) for name in graph}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other]) for name in graph
    }
    return sorted((set(group) for group in groups if len(group) > 1), key=sorted)


def below(name: str, graph: Graph) -> set[str]:
    """Every module that this one imports, at once or by way of others."""
    reached: set[str] = set()
    open_ends = [name]
    while open_ends:
        new = graph[open_ends.pop()] - reached
        reached |= new
        open_ends += new
    return reached


def shown(circle: set[str], graph: Graph) -> str:
    """A circle as a sentence: each module, and which of the others it imports."""
    return "; ".join(
        f"{name} imports {', '.join(sorted(graph[name] & circle))}" for name in sorted(circle)
    )


def part(module: str) -> str:
    """The part of the picture that a module belongs to."""
    name = module.split(".")[1] if "." in module else module
    return FRONT.get(name, name)


def arrows_of(graph: Graph) -> Graph:
    """Which parts each part imports."""
    arrows: Graph = {part(module): set() for module in graph}
    for module, others in graph.items():
        arrows[part(module)] |= {part(other) for other in others} - {part(module)}
    return arrows


def picture() -> Graph:
    """The arrows that CONTRIBUTING.md draws, from the first part to the last."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    drawn: Graph = {}
    for name, others in re.findall(r"^(\w+) +→ +(.+)$", text, re.MULTILINE):
        drawn[name] = set() if others == "nothing" else set(others.split(", "))
    assert drawn, "CONTRIBUTING.md draws no lines like `views → servers`"
    return drawn


def test_the_picture_is_what_the_code_has():
    drawn, there = picture(), arrows_of(graph_of(ROOT / HERE))
    del there[HERE]  # its names are imported when they are first used, by name
    for name in sorted(drawn.keys() | there.keys()):
        assert name in drawn, f"{name} is missing in the picture in CONTRIBUTING.md"
        assert name in there, f"{name} is in the picture, but there is no labkit.{name}"
        new = ", ".join(sorted(there[name] - drawn[name]))
        gone = ", ".join(sorted(drawn[name] - there[name]))
        assert not new, f"{name} imports {new}; the picture in CONTRIBUTING.md has no such arrow"
        assert not gone, f"the picture has an arrow from {name} to {gone}; no module imports it"


def test_arrows_of_the_picture_run_one_way():
    drawn = picture()
    order = list(drawn)
    for place, name in enumerate(order):
        up = drawn[name] - set(order[place + 1 :])
        assert not up, f"{name} → {', '.join(sorted(up))} does not lead to a line further down"


def test_no_modules_import_each_other_in_a_circle():
    graph = graph_of(ROOT / HERE)
    found = circles(graph)
    assert not found, "a circle: " + " and another: ".join(shown(circle, graph) for circle in found)


SOURCES = {  # what a module holds, and the circles that come of it
    "in functions": ({"a": "def f():\n    import kit.b", "b": "from kit.a import f"}, ["a", "b"]),
    "for type checkers": (
        {"a": "if TYPE_CHECKING:\n    import kit.b", "b": "import kit.a"},
        [],
    ),
    "by way of a third": (
        {"a": "from kit import b", "b": "from kit import c", "c": "from kit.a import x"},
        ["a", "b", "c"],
    ),
    "one way": ({"a": "from kit import b, c", "b": "import kit.c", "c": ""}, []),
}


@pytest.mark.parametrize("how", SOURCES)
def test_a_circle_is_found_and_named(how: str, tmp_path: Path):
    sources, wanted = SOURCES[how]
    (tmp_path / "kit").mkdir()
    for name, source in {"__init__": "", **sources}.items():
        (tmp_path / "kit" / f"{name}.py").write_text(source)
    graph = graph_of(tmp_path / "kit")
    found = circles(graph)
    assert found == ([{f"kit.{name}" for name in wanted}] if wanted else [])
    for circle in found:
        assert shown(circle, graph).startswith("kit.a imports kit.b; kit.b imports kit.")
