"""How the code is built, in numbers: ``python benchmarks/structure.py [REVISION ...]``.

For ``solve/`` and for the whole package: lines, files, floors of imports, circles of imports, and functions with more
than seven parameters (self not counted) or more than 60 lines of body. Without a revision, of the working tree.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGE = "src/popglm"
MOST_PARAMETERS, LONGEST_BODY = 7, 60


def sources(revision: str | None) -> dict[str, str]:
    """Texts of the package's modules by their dotted names."""
    if revision is None:
        files = {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
            for path in (ROOT / PACKAGE).rglob("*.py")
        }
    else:
        archive = subprocess.run(
            ["git", "archive", revision, PACKAGE], cwd=ROOT, check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [one for one in tar if one.name.endswith(".py")]
            files = {one.name: tar.extractfile(one).read().decode() for one in members}
    return {dotted(name): text for name, text in sorted(files.items())}


def dotted(name: str) -> str:
    """The name that a file is imported by."""
    parts = PurePosixPath(name).relative_to("src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, tree: ast.AST, known: set[str], is_package: bool) -> Iterator[str]:
    """Modules of the package that one imports when it is itself imported."""
    for node in top_level(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: len(name.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        else:
            continue
        yield from (one for one in found if one in known and one != name)


def top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements outside of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from top_level(node)


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import each other (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(one: str) -> None:
        number[one] = low[one] = len(number)
        stack.append(one)
        for other in graph[one]:
            if other not in number:
                visit(other)
                low[one] = min(low[one], low[other])
            elif other in stack:
                low[one] = min(low[one], number[other])
        if low[one] == number[one]:
            group = set(stack[stack.index(one) :])
            del stack[stack.index(one) :]
            found.append(group)

    for one in graph:
        if one not in number:
            visit(one)
    return [group for group in found if len(group) > 1]


def floors(graph: dict[str, set[str]]) -> int:
    """Modules on the longest way down the imports; a circle counts once."""
    together = {one: min(group) for group in circles(graph) for one in group}
    whose = {one: together.get(one, one) for one in graph}
    below: dict[str, set[str]] = {whose[one]: set() for one in graph}
    for one, others in graph.items():
        below[whose[one]] |= {whose[other] for other in others} - {whose[one]}
    depth: dict[str, int] = {}

    def depth_of(one: str) -> int:
        if one not in depth:
            depth[one] = 1 + max((depth_of(other) for other in below[one]), default=0)
        return depth[one]

    return max(map(depth_of, below), default=0)


def table(texts: dict[str, str], room: str) -> dict[str, int]:
    """The numbers of one room, or of the package."""
    own = {name: text for name, text in texts.items() if name == room or name.startswith(room + ".")}
    trees = {name: ast.parse(text) for name, text in own.items()}
    packages = {name for name in own if any(other.startswith(name + ".") for other in own)}
    graph = {name: set(imports(name, tree, set(own), name in packages)) for name, tree in trees.items()}
    functions = [
        node
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        "lines": sum(text.count("\n") for text in own.values()),
        "files": len(own),
        "longest file": max(text.count("\n") for text in own.values()),
        "floors": floors(graph),
        "circles": len(circles(graph)),
        f"functions of more than {MOST_PARAMETERS} parameters": sum(
            n_parameters(one) > MOST_PARAMETERS for one in functions
        ),
        f"functions of more than {LONGEST_BODY} lines": sum(n_lines(one) > LONGEST_BODY for one in functions),
    }


def n_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Parameters of a function but self and cls."""
    every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return sum(one.arg not in ("self", "cls") for one in every)


def n_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def main() -> None:
    """Print a table for each revision."""
    for revision in sys.argv[1:] or [None]:
        texts = sources(revision)
        print(revision or "working tree")
        columns = {room: table(texts, room) for room in ("popglm.solve", "popglm")}
        for key in columns["popglm"]:
            print(f"  {key:42}" + "".join(f"{numbers[key]:>10,}" for numbers in columns.values()))


if __name__ == "__main__":
    main()
