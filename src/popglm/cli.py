"""The command ``popglm``."""

from __future__ import annotations

import json
import math
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["app"]

app = typer.Typer(
    help="Generalized linear encoding models for whole neural populations.\n\n"
    "From a recording to a page: popglm init FILE -o recipe.toml, popglm check recipe.toml, "
    "popglm fit recipe.toml -o result.nc, popglm explain result.nc, popglm report result.nc -o report.html.",
    no_args_is_help=True,
)

#: What the shell is told: all is well; the command was wrong; the data or the recipe were; stopped by the user.
WRONG_DATA, STOPPED = 1, 130

Sessions = Annotated[list[str], typer.Argument(help="Recordings: files, folders, or patterns such as 'data/*.nwb'.")]
OneRecipe = Annotated[Path, typer.Option("--recipe", help="A recipe; each recording's path takes its data's place.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone, for other programs.")]


@contextmanager
def _told() -> Iterator[None]:
    """Complaints and warnings as sentences on the error output, without a traceback."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: typer.secho(f"look: {message}", fg="yellow", err=True)
            yield
    except KeyboardInterrupt as stop:
        typer.secho(str(stop) or "stopped", fg="yellow", err=True)
        raise typer.Exit(STOPPED) from None
    except (ValueError, TypeError, OSError, ImportError) as error:
        typer.secho(f"popglm: {_sentence(error)}", fg="red", err=True)
        raise typer.Exit(WRONG_DATA) from None


def _sentence(error: Exception) -> str:
    """What went wrong, without the number that the operating system has for it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    names = error.filename is None or repr(error.filename) in error.strerror
    return error.strerror if names else f"{error.filename}: {error.strerror}"


def _teller(as_json: bool) -> Callable[[str], None]:
    """Tells of every step on the error output, so that the output holds results alone."""
    return lambda step: None if as_json else typer.secho(f"· {step}", dim=True, err=True)


def _print(facts: dict[str, Any], as_json: bool) -> None:
    """Facts, a line each, or as JSON."""
    if as_json:
        typer.echo(json.dumps(_finite(facts), indent=2, default=str, allow_nan=False))
        return
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{name.replace('_', ' ')}:")
            for key, inner in value.items():
                typer.echo(f"    {key}: {_short(inner)}")
        else:
            typer.echo(f"{name.replace('_', ' '):<{width}}  {_short(value)}")


def _finite(value: Any) -> Any:
    """Facts with null in the place of numbers that JSON does not know: NaN and the infinite ones."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: Any) -> str:
    """A number with few digits, a text as it is."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
def init(
    recording: Annotated[str, typer.Argument(help="A file or folder of a recording, or the URL of an NWB file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The recipe to write.")] = Path("recipe.toml"),
    format: Annotated[
        str | None, typer.Option(help="nwb, suite2p, kilosort, …; told by the file unless given.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the reader, NAME=VALUE with a value of TOML: rate=30; any number of them."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a recipe that is there.")] = False,
) -> None:
    """Write a first recipe for a recording, with guesses that are marked as guesses.

    Example: popglm init session.nwb -o recipe.toml
    """
    with _told():
        from popglm.analysis.beginning import first_recipe
        from popglm.io.files import check_target

        check_target(output, "recipe.toml")
        if output.exists() and not force:
            raise ValueError(f"there is a file {str(output)!r} already; give another name, or --force")
        named = recording if "://" in recording else _from_folder(Path(recording), output.parent)
        text, about = first_recipe(recording, format, named, _options(option or []))
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{about}\nwritten to {output}; look at its guesses, then: popglm check {output}")


def _options(given: list[str]) -> dict[str, Any]:
    """Options of a reader as the command has them, NAME=VALUE; a plain word is text.

    Raises
    ------
    ValueError
        If one has no "=", comes twice, or has a value that TOML does not know.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = (part.strip() for part in one.partition("="))
        if not equals or not name.isidentifier():
            raise ValueError(f"--option must be NAME=VALUE, such as rate=30; found {one!r}")
        if name in found:
            raise ValueError(f"--option {name} comes twice; give it once, several names as a list: ['a', 'b']")
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            if not text.isidentifier():
                raise ValueError(
                    f"--option {name}: {text!r} is no value of TOML ({error}); write text as 'text', lists as "
                    "['a', 'b'], mappings as {a = 'b'}"
                ) from None
            found[name] = text
    return found


def _from_folder(path: Path, folder: Path) -> str:
    """A path as a recipe in a folder names it."""
    path, folder = path.resolve(), folder.resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


@app.command()
def check(
    recipe: Annotated[Path, typer.Argument(help="A recipe.")],
    as_json: AsJson = False,
) -> None:
    """Say what a recipe would fit: trials, rates, silent neurons, gaps, clocks, collinear groups, time and memory.

    Nothing is fitted. The exit code is 1 where the recipe cannot be carried out, or a clock cannot be right.

    Example: popglm check recipe.toml
    """
    with _told():
        from popglm.analysis.checking import check_recipe
        from popglm.analysis.recipe import read_recipe

        findings = check_recipe(read_recipe(recipe))
        if as_json:
            _print({**findings.facts, "warnings": findings.warnings, "faults": findings.faults}, as_json)
        else:
            _print(findings.for_people(), as_json)
            for line in findings.warnings:
                typer.secho(f"look: {line}", fg="yellow")
            for line in findings.faults:
                typer.secho(f"fault: {line}", fg="red", err=True)
        if findings.faults:
            raise typer.Exit(WRONG_DATA)


@app.command()
def fit(
    recipe: Annotated[Path, typer.Argument(help="A recipe.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The result to write.")] = Path("result.nc"),
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A folder that keeps the fit as it goes on; the same command goes on there."),
    ] = None,
    explain: Annotated[bool, typer.Option(help="Explain the fit as well, as popglm explain does.")] = True,
    as_json: AsJson = False,
) -> None:
    """Fit every neuron as a recipe says, explain the fit, and write the result.

    A fit that was stopped, by whatever, goes on where it was, with the same command and --checkpoint.

    Example: popglm fit recipe.toml -o result.nc --checkpoint fit-so-far
    """
    with _told():
        from popglm.analysis.explaining import with_explanation
        from popglm.analysis.recipe import read_recipe
        from popglm.analysis.result import make_result
        from popglm.analysis.running import build, fit_recipe, grid_of, session_of
        from popglm.io.checkpoints import CheckpointFolder
        from popglm.io.files import check_target

        tell = _teller(as_json)
        content = read_recipe(recipe)
        check_target(output, "result.nc")
        if checkpoint is not None:
            # what is wrong with it is told before the recording is read
            CheckpointFolder(checkpoint)
        tell("read the recording")
        session = session_of(content)
        data = grid_of(content, session)
        tell("build the design matrix")
        matrices = build(content, data)
        tell(f"fit {matrices.Y.shape[1]:,} neurons to {matrices.X.shape[0]:,} × {matrices.X.shape[1]:,}")
        model = fit_recipe(content, matrices, verbose=0 if as_json else 1, checkpoint=checkpoint)
        result = make_result(content, data, matrices, model, session.trials)
        result.save(output)
        if explain:
            # the fit is kept already, whatever happens to its explanation
            result = with_explanation(content, result, data, matrices, tell)
            result.save(output)
        _print(_summary(result), as_json)
        if not as_json:
            typer.echo(f"written to {output}; next: popglm report {output}")


@app.command()
def fit_many(
    sessions: Sessions,
    recipe: OneRecipe,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for the results.")] = Path("results"),
    scheduler: Annotated[str | None, typer.Option(help="The address of a scheduler of Dask, or its file.")] = None,
    local: Annotated[int | None, typer.Option(min=1, help="Worker processes on this machine.")] = None,
    slurm: Annotated[Path | None, typer.Option(help="A TOML file that describes jobs of SLURM.")] = None,
    name: Annotated[
        str, typer.Option(help="How results are called: '{parent}_{name}' puts the folder's name before the file's.")
    ] = "{name}",
    neurons_per_task: Annotated[
        int | None, typer.Option(min=1, help="Neurons that are fitted at a time, at most; fewer take less memory.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace results of another recipe or of changed data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit many recordings by one recipe; the same command goes on where it was stopped.

    A recording that cannot be fitted stops no other; the exit code is then 1. Without --scheduler, --local or --slurm
    they are fitted one after the other.

    Example: popglm fit-many 'data/*.nwb' --recipe recipe.toml -o results --local 4
    """
    with _told():
        from popglm.scale.progress import progress_bar
        from popglm.scale.schedulers import client_of
        from popglm.scale.sessions import fit_sessions
        from popglm.scale.stores import matched, named_sessions

        named = named_sessions(matched(sessions), name)
        with client_of(scheduler, local, slurm) as (client, threads), progress_bar(as_json) as tell:
            found = fit_sessions(
                named, recipe, output, client, threads_per_task=threads, neurons_per_task=neurons_per_task,
                replace=replace, tell=tell,
            )  # fmt: skip
        facts = found.facts()
        _print(facts if as_json else {name: fact for name, fact in facts.items() if fact}, as_json)
        if not found.is_complete:
            raise typer.Exit(WRONG_DATA)


@app.command()
def plan(
    sessions: Sessions,
    recipe: OneRecipe,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    cores: Annotated[int | None, typer.Option(min=1, help="Of a node; those of this machine.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB of a node; those of this machine.")] = None,
    network: Annotated[float, typer.Option(help="Gbit per second between nodes.")] = 10.0,
    pilot_seconds: Annotated[float, typer.Option(help="How long some neurons are fitted to learn from; 0: not.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Say how long fits take on a cluster, and how best to divide them; only some neurons are fitted.

    Example: popglm plan 'data/*.nwb' --recipe recipe.toml --nodes 10 --cores 32 --memory 256
    """
    with _told():
        from popglm.scale.division import Cluster
        from popglm.scale.plan import plan as planned
        from popglm.scale.stores import matched

        cluster = Cluster.of_kind(nodes, cores, memory, network)
        _print(planned(matched(sessions), recipe, cluster, pilot_seconds).facts(), as_json)


@app.command()
def explain(
    result: Annotated[Path, typer.Argument(help="A result of popglm fit.")],
    recipe: Annotated[Path | None, typer.Option(help="The recipe, where it lies elsewhere than at the fit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say anew what each variable contributes, and draw kernels, after a change of the table explain in the recipe.

    The recording is read again, and must be that of the fit.

    Example: popglm explain result.nc --recipe recipe.toml
    """
    with _told():
        from popglm.analysis.explaining import explain_result
        from popglm.analysis.recipe import parse_recipe, read_recipe
        from popglm.analysis.result import open_result

        tell = _teller(as_json)
        found = open_result(result)
        content = parse_recipe(found.recipe_text, found.recipe_path)
        if recipe is not None:
            found, content = found.with_recipe(content, read_recipe(recipe))
        explained = explain_result(content, found, tell)
        explained.save(result)
        _print({"contributions_median": explained.median_contributions()}, as_json)
        if not as_json:
            typer.echo(f"written to {result}; next: popglm report {result}")


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="A result of popglm fit; better of popglm explain, too.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write a result as one HTML page, which needs no other file and no network.

    Example: popglm report result.nc -o report.html
    """
    with _told():
        from popglm.analysis.result import open_result
        from popglm.report.writing import write_report

        n_bytes = write_report(open_result(result), output)
        if as_json:
            _print({"path": str(output), "bytes": n_bytes}, as_json)
        else:
            typer.echo(f"written to {output}, {n_bytes / 1e6:.1f} MB; open it in a browser")


@app.command()
def info(
    result: Annotated[Path, typer.Argument(help="A result of popglm fit.")],
    as_json: AsJson = False,
) -> None:
    """Say what a result holds.

    Example: popglm info result.nc
    """
    with _told():
        from popglm.analysis.result import open_result

        found = open_result(result)
        _print({**_summary(found), "parts": ", ".join(found.tree.children), **found.about}, as_json)


def _summary(result: Any) -> dict[str, Any]:
    """A few numbers of a result."""
    neurons = result.neurons
    of_classes = result.kind == "ClassifierGLMCV"
    of_rows = {} if result.is_held_out else {"deviance_explained_of": "the fitted samples"}
    return {
        "kind": result.kind,
        "responses" if of_classes else "neurons": len(neurons),
        "samples": int(result.part("grid").sizes["time"]),
        "columns": int(result.part("design").sizes["column"]),
        "deviance_explained_median": float(neurons["deviance_explained"].median()),
        "deviance_explained_best": float(neurons["deviance_explained"].max()),
        **of_rows,
        f"{'responses' if of_classes else 'neurons'}_beyond_the_null_model": int(
            (neurons["deviance_explained"] > 0).sum()
        ),
        "largest_certificate": float(neurons["gap"].max()),
    }


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the result and the pictures.")] = Path("popglm-demo"),
    n_samples: Annotated[int, typer.Option(min=1, help="Length of the session in samples (6 per second).")] = 27_396,
    n_neurons: Annotated[int, typer.Option(min=1, help="Number of neurons.")] = 100,
    n_task_variables: Annotated[
        int, typer.Option(min=0, max=29, help="Task variables: 8 give 318 columns, 29 give 1,011.")
    ] = 8,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation, by trial.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the simulation and of the choice of test trials.")] = 0,
    nwb: Annotated[
        Path | None, typer.Option(help="Write the simulated session to this NWB file, and fit nothing.")
    ] = None,
) -> None:
    """Simulate a session, fit every neuron, select by cross-validation, and show how well it went.

    A mouse runs a virtual maze; every neuron follows a few groups of variables. Poisson models with a group
    lasso are fitted over 11 strengths with cross-validation by trial; 15 % of the trials are kept for a test.
    The result, a table per neuron, and three pictures are written to the output folder.
    """
    # what fits and draws takes seconds to import, and help has no need of it
    if nwb is not None:
        with _told():
            from popglm.maze_nwb import write_maze_nwb

            write_maze_nwb(nwb, n_samples, n_neurons, seed=seed)
            typer.echo(f"written to {nwb}; next: popglm init {nwb}")
        return
    from popglm.demo import run_demo

    run_demo(output, n_samples, n_neurons, n_task_variables, folds, seed)
