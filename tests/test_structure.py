"""How the rooms of the package stand to each other, read from its import statements."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import popglm

SOURCE = Path(popglm.__file__).parent
#: Rooms from the ground up. One may use those of the floors below, and none beside it; the ground floor is one room.
FLOORS = [
    [
        "checks",
        "engines",
        "frames",
        "labels",
        "maze_behavior",
        "messages",
        "numbers",
        "scaling",
        "shapes",
        "toml_text",
        "variables",
        "warnings",
    ],
    ["statistics"],
    ["design", "recording", "solve"],
    ["io", "simulated_maze"],
    ["estimators", "maze_nwb"],
    ["explain"],
    ["analysis", "plot"],
    ["glm_class", "report", "scale"],
    ["popglm"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: The same of the solver: its folders, and the files beside them.
FLOORS_OF_THE_SOLVER = [
    ["compiled", "folds", "snapshot", "stream", "units"],
    ["curvature", "remote", "separation", "sparse", "varying"],
    ["passes"],
    ["curves", "objective", "step_solvers"],
    ["local_models"],
    ["walk"],
    ["device", "first_order", "held_out", "result"],
    ["settings", "share"],
    ["cohorts", "prepared"],
    ["categorical", "fits", "low_rank"],
    ["cohort_fits"],
    ["population"],
    ["factors", "relaxed"],
]
#: Rooms whose objects keep their private members to themselves.
DISCREET = ("design", "estimators", "explain", "glm_class", "io", "plot", "recording")


def name_of(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    """The syntax tree of every module; the stub of the package says what it imports on demand."""
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or path.stem != "__init__"]
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in [*paths, SOURCE / "__init__.pyi"]}


PACKAGES = {name_of(path.parent / "__init__.py") for path in SOURCE.rglob("__init__.py")}


def imported_from(module: str, statement: ast.ImportFrom) -> str:
    """The module that a ``from … import`` statement names."""
    if not statement.level:
        return statement.module or ""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*above, *([statement.module] if statement.module else [])])


def last_name(function: ast.expr) -> str:
    """What stands behind the last dot of a name; "" of what is called without one."""
    return getattr(function, "attr", getattr(function, "id", ""))


def dotted(node: ast.expr) -> str:
    """A name with its dots; "" of what is none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return getattr(node, "id", "")


def named(node: ast.AST) -> list[str]:
    """Modules that match a name given to ``import_module``, wherever a part of it is a variable."""
    if not (isinstance(node, ast.Call) and last_name(node.func) == "import_module" and node.args):
        return []
    name = node.args[0]
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    if not any(isinstance(part, ast.Constant) for part in parts):
        return []
    pattern = "".join(re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in parts)
    return [other for other in modules() if re.fullmatch(pattern, other)]


def arrows(module: str) -> set[str]:
    """Modules of the package that a module imports, at its head, in a function, or for its types alone."""
    found = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = imported_from(module, node)
            found |= {inner if (inner := f"{source}.{alias.name}") in modules() else source for alias in node.names}
        else:
            found |= set(named(node))
    return {other for other in found if other in modules() and other != module}


@cache
def every_arrow() -> dict[str, set[str]]:
    """What each module imports of the package."""
    return {module: arrows(module) for module in modules()}


def room(module: str) -> str:
    """The room that a module stands in; the package itself is one."""
    return module.split(".")[1] if "." in module else module


def test_every_room_has_its_floor():
    assert {room(module) for module in modules()} == set(FLOOR)


def test_no_import_goes_up():
    wrong = [
        f"{module} imports {other}"
        for module, others in every_arrow().items()
        for other in sorted(others)
        if room(module) != room(other)
        and not FLOOR[room(other)] < FLOOR[room(module)]
        and not FLOOR[room(other)] == FLOOR[room(module)] == 0
    ]
    assert wrong == []


def test_every_part_of_the_solver_has_its_floor_and_uses_those_below():
    floor = {part: number for number, parts in enumerate(FLOORS_OF_THE_SOLVER) for part in parts}
    own = {module: module.split(".")[2] for module in modules() if module.startswith("popglm.solve.")}
    assert set(own.values()) == set(floor)
    wrong = [
        f"{module} imports {other}"
        for module, part in own.items()
        for other in sorted(every_arrow()[module])
        if other in own and own[other] != part and not floor[own[other]] < floor[part]
    ]
    assert wrong == []


def test_no_circle_of_imports():
    try:
        TopologicalSorter(every_arrow()).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_functions_do_not_shadow_modules():
    wrong = [
        f"{package}.{alias.asname or alias.name}"
        for package in PACKAGES
        for node in modules()[package].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (name := f"{package}.{alias.asname or alias.name}") in modules()
        and f"{imported_from(package, node)}.{alias.name}" != name
    ]
    assert wrong == []


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def reaches(tree: ast.AST) -> list[str]:
    """Private members of other objects, and of other modules, that a module names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner, name = ast.unparse(node.value), node.attr
        elif isinstance(node, ast.Call) and last_name(node.func) in ("getattr", "hasattr", "setattr", "delattr"):
            owner, name = ast.unparse(node.args[0]), getattr(node.args[1], "value", None)
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names if is_private(alias.name)]
            continue
        else:
            continue
        if is_private(name) and owner not in ("self", "cls", "super()"):
            found.append(f"{owner}.{name}")
    return found


def test_private_members_stay_private():
    wrong = [
        f"{module}: {name}" for module, tree in modules().items() if room(module) in DISCREET for name in reaches(tree)
    ]
    assert wrong == []


#: Modules that stand for an array library, whose names are those of its functions.
NAMESPACES = ("popglm.engines.tensorflow_namespace", "popglm.engines.torch_namespace")


def exported(module: str) -> list[str]:
    """The names in a module's ``__all__``."""
    for node in modules()[module].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [ast.literal_eval(name) for name in getattr(node.value, "elts", [])]
    return []


def used_names() -> set[tuple[str, str]]:
    """Pairs of a module and a name that somebody takes from it: another module, a test, a benchmark, or an example."""
    root = Path(__file__).parents[1]
    rooms = (root / room for room in ("tests", "benchmarks", "docs", "examples"))
    others = [path for room in rooms for path in room.rglob("*.py") if "/." not in path.relative_to(root).as_posix()]
    trees = {**modules(), **{str(path): ast.parse(path.read_text(encoding="utf-8")) for path in others}}
    reference = (root / "docs" / "api.rst").read_text(encoding="utf-8")
    used = {(f"popglm.{module}", name) for module, name in re.findall(r"^   ([\w.]+)\.(\w+)$", reference, re.MULTILINE)}
    for module, tree in trees.items():
        called, nodes = {}, list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                source = imported_from(module, node)
                used |= {(source, alias.name) for alias in node.names}
                called |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                called |= {alias.asname or alias.name: alias.name for alias in node.names}
        for node in nodes:
            if isinstance(node, ast.Attribute):
                owner = dotted(node.value)
                used.add((called.get(owner, owner), node.attr))
            elif isinstance(node, ast.Call) and last_name(node.func).endswith("setattr"):
                owner = dotted(node.args[0])
                used.add((called.get(owner, owner), getattr(node.args[1], "value", "")))
    return used


@pytest.mark.thorough
def test_nothing_is_exported_that_nobody_uses():
    used = used_names()
    engines = {name for name in modules() if name.endswith("_engine")}
    stale = [
        f"{module}.{name}"
        for module in modules()
        if module not in (*NAMESPACES, *engines, *PACKAGES)
        for name in exported(module)
        if (module, name) not in used
    ]
    assert stale == []


def test_no_function_of_the_solver_is_too_long_or_takes_too_much():
    for name, tree in modules().items():
        if not name.startswith("popglm.solve."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                arguments = [a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
                own = [a for a in arguments if a not in ("self", "cls")]
                body = node.body[1:] if ast.get_docstring(node) else node.body
                n_lines = node.end_lineno - body[0].lineno + 1 if body else 0
                assert len(own) <= 8, f"{name}.{node.name} takes {len(own)} arguments"
                assert n_lines <= 60, f"{name}.{node.name} has {n_lines} lines"


def test_no_file_of_the_solver_is_too_long():
    for path in (SOURCE / "solve").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
