"""A progress bar over strengths and folds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["fit_progress"]


@contextmanager
def fit_progress(verbose: int, n_neurons: int, n_lambdas: int, n_fits: int) -> Iterator[Callable | None]:
    """A callback for ``on_strength`` that moves a bar; None where nobody looks.

    ``verbose=0`` shows the bar in an interactive terminal only if asked by 1 or more; 2 shows it everywhere.
    """
    if verbose < 1 or (verbose < 2 and not sys.stderr.isatty()):
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(f"{n_neurons} neurons", total=n_lambdas * n_fits)

        def advance(strength: int, fold: int) -> None:
            part = "all rows" if fold < 0 else f"fold {fold + 1}"
            text = f"{n_neurons} neurons · strength {strength + 1}/{n_lambdas} · {part}"
            bar.update(task, advance=1, description=text)

        yield advance
