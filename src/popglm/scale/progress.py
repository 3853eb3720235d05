"""How far many sessions have come: what is done, what is left, and a bar that shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from popglm.scale.estimates import Estimate

__all__ = ["Progress", "progress_bar"]


@dataclass
class Progress:
    """How far the sessions of a call have come.

    Attributes
    ----------
    n_sessions : int
        Of the call.
    dashboard : str, or None
        Where Dask shows what its workers do.
    n_looked : int
        Sessions that were looked at.
    ended : dict of str to int
        Sessions that have ended, by how: "done", "finished", "refused", "failed".
    n_neurons, n_fitted : int
        Neurons of the sessions that are to be fitted, and those that are.
    """

    n_sessions: int
    dashboard: str | None = None
    n_looked: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    n_neurons: int = 0
    n_fitted: int = 0
    _seconds: float = 0.0
    _done: float = 0.0
    _began: float | None = None

    def expect(self, expected: Estimate) -> None:
        """A session is to be fitted."""
        self.n_neurons += expected.n_neurons
        self._seconds += expected.seconds

    def begin(self) -> None:
        """The first fit begins."""
        self._began = time.monotonic()

    def advance(self, fitted: Estimate) -> None:
        """Some neurons are fitted."""
        self.n_fitted += fitted.n_neurons
        self._done += fitted.seconds

    def end(self, how: str) -> None:
        """A session has ended."""
        self.ended[how] = self.ended.get(how, 0) + 1

    @property
    def n_ended(self) -> int:
        """Sessions that have ended, however."""
        return sum(self.ended.values())

    @property
    def share(self) -> float:
        """Share of the seconds that are done, by the estimates."""
        return self._done / self._seconds if self._seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds that what is left takes at the rate until now; None before anything is fitted."""
        if self._began is None or not self._done:
            return None
        return (time.monotonic() - self._began) * (1 / self.share - 1)


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """A function for ``tell`` of `fit_sessions` that moves a bar on the error output; None to show nothing."""
    if quiet:
        yield None
        return
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    named: list[str] = []
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("sessions", total=1.0, left="")

        def tell(progress: Progress) -> None:
            if progress.dashboard and not named:
                named.append(progress.dashboard)
                bar.print(f"dashboard: {progress.dashboard}")
            bar.update(task, description=described(progress), completed=progress.share, left=time_left(progress))

        yield tell


def described(progress: Progress) -> str:
    """Sessions and neurons in words.

    Examples
    --------
    >>> described(Progress(20, n_looked=20, ended={"done": 3, "failed": 1}, n_neurons=900, n_fitted=120))
    '4 of 20 sessions (1 failed) · 120 of 900 neurons'
    >>> described(Progress(20, n_looked=7))
    'looked at 7 of 20 sessions'
    """
    if progress.n_looked < progress.n_sessions:
        return f"looked at {progress.n_looked:,} of {progress.n_sessions:,} sessions"
    bad = [f"{progress.ended[how]:,} {how}" for how in ("failed", "refused") if how in progress.ended]
    told = f" ({', '.join(bad)})" if bad else ""
    neurons = f" · {progress.n_fitted:,} of {progress.n_neurons:,} neurons" if progress.n_neurons else ""
    return f"{progress.n_ended:,} of {progress.n_sessions:,} sessions{told}{neurons}"


def time_left(progress: Progress) -> str:
    """The time that is left, in words; nothing while it is not known."""
    seconds = progress.seconds_left
    if not seconds:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"
