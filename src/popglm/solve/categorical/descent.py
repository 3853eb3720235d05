"""Paths of a response: of each fit by itself, or of all together until held-out deviance has turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from popglm.solve.categorical.problem import ClassFit
from popglm.solve.categorical.results import CategoricalFits, HeldOutRows
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.settings import all_of, reporter
from popglm.solve.snapshot import Checkpoint, Resumable, concluded
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.path import Path
from popglm.solve.walk.rounds import Course, evaluate_alone, walk_paths
from popglm.statistics.ends import Ends

__all__ = ["Begun", "Descent"]


@dataclass
class Begun:
    """A fit of a response at its null model.

    Attributes
    ----------
    own : ClassFit
    null_coef : ndarray, shape (n_classes, n_features)
        In the user's columns, as the intercepts.
    null_intercept : ndarray, shape (n_classes,)
    fit : tuple of Fit and Coordinates, or None
        None where there is nothing to fit.
    """

    own: ClassFit
    null_coef: np.ndarray
    null_intercept: np.ndarray
    fit: tuple[Fit, Coordinates] | None = None

    @classmethod
    def of(cls, own: ClassFit) -> Begun:
        """Stand at the null model, that of the columns which are never penalised where there are some."""
        found = cls(own, np.zeros((own.rows.n_classes, own.rows.X.shape[1])), own.null_intercepts)
        if own.is_fittable:
            found.fit = own.begin()
            if own.rows.settings.penalty.free is not None:
                found._stand_at_free(*found.fit)
        return found

    def release(self) -> None:
        """Let go of what lies on a device for this fit alone."""
        if self.fit is not None:
            self.fit[0].objective.objective.release()

    def _stand_at_free(self, fit: Fit, coordinates: Coordinates) -> None:
        """Go to the best weights of the columns that are never penalised."""
        own, columns = self.own, self.own.rows.settings.penalty.free_columns
        bare = own.of_free_columns()
        begun, turned = bare.begin()
        path = bare.walk(begun, np.zeros(1))
        begun.objective.objective.release()
        self.null_coef[:, columns] = bare.class_weights(turned.unrotate(path.W[0].astype(float)))[0]
        self.null_intercept = own.class_intercepts(path.b[0])[0]
        W = own.problem_weights(self.null_coef[None])
        fit.stand_at(np.zeros(1, int), coordinates.rotate(W), path.b[0])

    def guide(self, near: np.ndarray | None) -> np.ndarray | None:
        """A path (n_lambdas, n_classes, n_features) that is near, in the coordinates of the fit."""
        if near is None or self.fit is None:
            return None
        return self.fit[1].rotate(self.own.problem_weights(near))

    def weights(self, W: np.ndarray, b: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts of all classes in the user's columns, of those (n_lambdas, …) of the fit."""
        assert self.fit is not None
        V = self.own.class_weights(self.fit[1].unrotate(W.astype(float)))
        V = V.astype(self.own.rows.engine.dtype).astype(float)
        # the intercepts are those of the rounded weights: what these move the means by is taken back
        return V, self.own.class_intercepts(b) - V @ center


@dataclass(eq=False)
class Descent:
    """The fits of a response, to all rows and to the training rows of every fold.

    Attributes
    ----------
    found : CategoricalFits
        Where its paths are written.
    response : int
    fits : list of ClassFit
        To all rows, and to every fold's training rows.
    held : callable
        From the number of a fold, from 0, to its `HeldOutRows`.
    wanted : list of int
        Numbers of the fits whose paths are asked for; others keep their null model.
    center : ndarray, shape (n_features,)
    tell : callable, or None
        See `popglm.solve.population.fit_population`.
    near : dict of int to ndarray, shape (n_lambdas, n_classes, n_features), or None
        Where the fits that are wanted begin.
    kept : Checkpoint
    """

    found: CategoricalFits
    response: int
    fits: list[ClassFit]
    held: Callable[[int], HeldOutRows]
    wanted: list[int]
    center: np.ndarray
    tell: Callable[..., Any] | None
    near: dict[int, np.ndarray] | None
    kept: Checkpoint

    def alone(self, f: int) -> None:
        """Go down the path of one fit, and score it."""
        begun, report = self._begin(f), self._report(f)
        if self._goes(begun, f):
            lambdas, kept = self.found.lambdas[:, self.response], self.kept.part(f"fit{f}")
            walk = partial(begun.own.walk, begun.fit[0], lambdas, begun.guide(self._near(f)), report, kept)  # type: ignore[index]
            self._end(f, begun, concluded(kept, Path, walk, all_of(report, len(lambdas))))
        elif report is not None:
            report(np.full(1, len(self.found.lambdas)))
        if f:
            self.found.score(self.held(f - 1), f, self.response)

    def together(self, ends: Ends) -> None:
        """Go down all paths at once, as far as held-out deviance asks for, and score them.

        Folds without two classes to tell apart say nothing of where to end.
        """
        begun = {f: self._begin(f) for f in range(len(self.fits))}
        going = [f for f in begun if self._goes(begun[f], f)]
        n_lambdas = len(self.found.lambdas)
        for f in set(begun) - set(going):
            if (report := self._report(f)) is not None:
                report(np.full(1, n_lambdas))
        n, held = n_lambdas, [self.held(f) for f in range(len(self.fits) - 1)]
        if going:
            paths, n = self._kept_paths(going) or self._walked_paths(begun, going, held, ends)
            for f, path in zip(going, paths, strict=True):
                self._end(f, begun[f], path)
        for f, rows in enumerate(held, 1):
            self.found.score(rows, f, self.response)
        self.found.cut(self.response, n)

    def _begin(self, f: int) -> Begun:
        """A fit at its null model, which is written."""
        begun, r = Begun.of(self.fits[f]), self.response
        self.found.counts[f, r] = begun.own.counts
        self.found.put_null_model(f, r, begun.null_coef, begun.null_intercept - begun.null_coef @ self.center)
        return begun

    def _goes(self, begun: Begun, f: int) -> bool:
        return begun.fit is not None and f in self.wanted

    def _end(self, f: int, begun: Begun, path: Path) -> None:
        """Write the path of a fit."""
        begun.release()
        V, b = begun.weights(path.W[:, 0], path.b[:, 0], self.center)
        self.found.put_path(f, self.response, path, V, b)

    def _near(self, f: int) -> np.ndarray | None:
        return None if self.near is None else self.near[f]

    def _report(self, f: int) -> Callable[[np.ndarray], None] | None:
        return reporter(self.tell, 1, f - 1)

    def _walked_paths(
        self, begun: dict[int, Begun], going: list[int], held: list[HeldOutRows], ends: Ends
    ) -> tuple[list[Path], int]:
        """Paths of the fits that go, and the number of strengths at which they end."""
        settings, lambdas = self.fits[0].rows.settings, self.found.lambdas[:, [self.response]]
        guides = None if self.near is None else [begun[f].guide(self._near(f))[:, None] for f in going]  # type: ignore[index]
        reports = [self._report(f) for f in going]

        def follow(level: np.ndarray) -> None:
            for report, own in zip(reports, level, strict=True):
                if report is not None:
                    report(own)

        def score(paths: list[Path], k: int) -> np.ndarray:
            found = np.full(len(held), np.nan)
            for f, path in zip(going, paths, strict=True):
                if f:
                    V, b = begun[f].weights(path.W[[k], 0], path.b[[k], 0], self.center)
                    (found[f - 1],) = held[f - 1].deviances(V, b, begun[f].own.counts)
            return found

        stop = _Stop(score, len(held), len(lambdas), ends)
        walking = [begun[f].fit[0] for f in going]  # type: ignore[index]
        paths = walk_paths(
            walking, evaluate_alone, Course(lambdas, settings.tol, settings.max_iter), guides, follow, stop,
            self.kept.part("walks"),
        )  # fmt: skip
        n = int(ends(stop.deviance)[0])
        for f, path in zip(going, paths, strict=True):
            self.kept.part(f"fit{f}").finish(path.state())
        self.kept.part("ends").finish({"n": np.array(n)})
        return paths, n

    def _kept_paths(self, going: list[int]) -> tuple[list[Path], int] | None:
        """The same, as an earlier call ended with them."""
        last = self.kept.part("ends").result()
        states = [self.kept.part(f"fit{f}").result() for f in going] if last is not None else []
        if last is None or any(state is None for state in states):
            return None
        for f in going:
            if (report := self._report(f)) is not None:
                report(np.full(1, len(self.found.lambdas)))
        return [Path.of(state) for state in states if state is not None], int(last["n"])


class _Stop(Resumable):
    """Where a response goes no further, by the held-out deviance of its folds on the way.

    Parameters
    ----------
    score : callable
        From paths and a strength's number to the deviance of every fold, (n_folds,).
    n_folds, n_lambdas : int
    ends : Ends
    """

    def __init__(
        self, score: Callable[[list[Path], int], np.ndarray], n_folds: int, n_lambdas: int, ends: Ends
    ) -> None:
        self.score, self.ends = score, ends
        self.deviance = np.full((n_folds, n_lambdas, 1), np.nan)
        self.known, self.limit = np.zeros(1, int), np.full(1, n_lambdas)

    def __call__(self, paths: list[Path], level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether it goes no further, given how many strengths each fit (n_fits, 1) has behind it; and the limit."""
        n, first, last = self.limit[0], int(self.known[0]), int(level.min())
        if first in (n, last):
            return np.zeros(0, int), self.limit
        for k in range(first, last):
            self.deviance[:, k, 0] = self.score(paths, k)
        turned = bool(self.ends(self.deviance)[0] < n)
        self.known[:] = n if turned else last
        return np.zeros(int(turned and last < n), int), self.limit
