"""What a terminal sees of a long fit: a progress bar over strengths and folds, and that kernels are being compiled."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from numba.core import event
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["fit_progress"]

#: Seconds after which a fit shows its progress in a terminal without being asked.
PATIENCE = 10.0

COMPILING = "popglm compiles its kernels once (about 20 s); later fits start at once."

#: A terminal has room for one bar: that of the outermost fit, or of the first of several threads.
_screen = threading.Lock()


@contextmanager
def fit_progress(verbose: int, n_neurons: int, n_lambdas: int, n_fits: int) -> Iterator[Callable | None]:
    """A callback for ``on_strength`` that moves a bar; None where nobody looks.

    In a terminal the bar shows after ten seconds, with ``verbose=1`` at once; elsewhere only with ``verbose=2``. A
    terminal is also told when kernels are compiled.
    """
    terminal = sys.stderr.isatty()
    with ExitStack() as stack:
        if terminal:
            stack.enter_context(event.install_listener("numba:compile", _CompileNotice()))
        if not (terminal or verbose >= 2) or not _screen.acquire(blocking=False):
            yield None
            return
        stack.callback(_screen.release)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        # strengths may take minutes each, and all of them count for the time that is left
        bar = Progress(*columns, console=Console(file=sys.stderr), transient=True, speed_estimate_period=1e6)
        task = bar.add_task(f"{n_neurons} neurons", total=n_lambdas * n_fits)
        stack.callback(bar.stop)
        _start(bar, 0.0 if verbose >= 1 else PATIENCE, stack)

        def advance(strength: int, fold: int) -> None:
            part = "all rows" if fold < 0 else f"fold {fold + 1}"
            text = f"{n_neurons} neurons · strength {strength + 1}/{n_lambdas} · {part}"
            bar.update(task, advance=1, description=text)

        yield advance


def _start(bar: Progress, delay: float, stack: ExitStack) -> None:
    """Show the bar at once, or after a delay unless the fit has ended."""
    if not delay:
        bar.start()
        return
    timer = threading.Timer(delay, bar.start)
    timer.daemon = True
    timer.start()

    def forget() -> None:
        timer.cancel()
        timer.join()  # a bar that is being shown is shown before it is taken away

    stack.callback(forget)


class _CompileNotice(event.Listener):
    """Say once per fit that numba compiles one of popglm's functions; it is silent about those it finds on disk."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if not self._said and function.__module__.startswith("popglm."):
            self._said = True
            print(COMPILING, file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass
