"""What a terminal sees of a long fit: a progress bar over strengths and folds, and that kernels are being compiled."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from numba.core import event
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from popglm.solve.compiled.compiling import HAS_CACHE

__all__ = ["fit_progress"]

#: Seconds after which a fit shows its progress in a terminal without being asked.
PATIENCE = 10.0

COMPILING = "popglm compiles its kernels once (5 to 20 s); later fits start at once."
COMPILING_HERE = (
    "popglm compiles its kernels (5 to 20 s), in every process anew: neither its own folder nor the home can be "
    "written to. Set NUMBA_CACHE_DIR to a folder that lasts."
)

#: A terminal has room for one bar: that of the outermost fit, or of the first of several threads.
_screen = threading.Lock()


@contextmanager
def fit_progress(
    verbose: int, n_neurons: int, n_lambdas: int, n_fits: int, step: str = "strength"
) -> Iterator[Callable | None]:
    """A callback for ``on_strength`` that moves a bar; None where nobody looks.

    In a terminal the bar shows after ten seconds, with ``verbose=1`` at once; elsewhere only with ``verbose=2``. A
    terminal is also told when kernels are compiled. A ``step`` is what there are ``n_lambdas`` of.
    """
    terminal = sys.stderr.isatty()
    with ExitStack() as stack:
        if terminal:
            stack.enter_context(event.install_listener("numba:compile", _CompileNotice()))
        if not (terminal or verbose >= 2) or not _screen.acquire(blocking=False):
            yield None
            return
        stack.callback(_screen.release)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), _TimeLeft())
        bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        task = bar.add_task(f"{n_neurons} neurons", total=n_lambdas * n_fits, kept=0.0)
        stack.callback(bar.stop)
        _start(bar, 0.0 if verbose >= 1 else PATIENCE, stack)

        counting, before = threading.Lock(), 0.0

        def advance(strength: int, fold: int, kept: bool = False, share: float = 1.0) -> None:
            nonlocal before
            part = "all rows" if fold < 0 else f"fold {fold + 1}"
            part = "all folds" if n_fits == 1 and step != "strength" else part
            text = f"{n_neurons} neurons · {step} {strength + 1}/{n_lambdas} · {part}"
            with counting:
                before += share * kept
                bar.update(task, advance=share, description=text, kept=before)

        yield advance


class _TimeLeft(ProgressColumn):
    """The time that is left, by the pace of all that this call did; what an earlier call did took it no time."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        done, left = task.completed - task.fields["kept"], (task.total or 0.0) - task.completed
        if done <= 0 or task.elapsed is None:
            return Text("-:--:--", style="progress.remaining")
        seconds = math.ceil(task.elapsed * max(left, 0.0) / done)
        return Text(f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}", style="progress.remaining")


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
            print(COMPILING if HAS_CACHE else COMPILING_HERE, file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass
