"""The command ``popglm``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help="Generalized linear encoding models for whole neural populations.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _commands() -> None:
    """Make typer keep `demo` as a command of its own, though it is the only one."""


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
) -> None:
    """Simulate a session, fit every neuron, select by cross-validation, and show how well it went.

    A mouse runs a virtual maze; every neuron follows a few groups of variables. Poisson models with a group
    lasso are fitted over 11 strengths with cross-validation by trial; 15 % of the trials are kept for a test.
    The result, a table per neuron, and three pictures are written to the output folder.
    """
    # what fits and draws takes seconds to import, and help has no need of it
    from popglm.demo import run_demo

    run_demo(output, n_samples, n_neurons, n_task_variables, folds, seed)
