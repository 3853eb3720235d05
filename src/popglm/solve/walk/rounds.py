"""Rounds of the walks of several fits, which meet where X is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.snapshot import UNKEPT, Checkpoint, Together
from popglm.solve.walk.fit import MAX_PROBLEMS
from popglm.solve.walk.path import Path
from popglm.solve.walk.problems import Problems
from popglm.solve.walk.walk import Round, Walk

__all__ = ["LEAST_TOGETHER", "evaluate_alone", "finished_paths", "run_walks", "walk_path", "walk_paths"]

#: Problems of a fit that are evaluated together at most, where the fits are many.
LEAST_TOGETHER = 64

#: A fit, its problems, their weights and intercepts; fits of one kind are asked together.
Asked = list[tuple[Any, np.ndarray, Any, np.ndarray]]
#: Which problems stop, and how far the others may go; see `walk_paths`.
Stop = Callable[[list[Path], np.ndarray], tuple[np.ndarray, np.ndarray]]


def evaluate_alone(asked: Asked) -> list[Evaluation]:
    """Points (fit, problems, W, b), one fit after the other."""
    return [fit.objective.evaluate(*point) for fit, *point in asked]


class Course(NamedTuple):
    """What walks descend, and how far.

    Attributes
    ----------
    lambdas : ndarray, shape (n_lambdas, n_problems)
        Strengths, descending.
    tol : float
        A problem is at its minimum where its certificate says that it is this near.
    max_iter : int
        Steps at each strength, at most.
    """

    lambdas: np.ndarray
    tol: float
    max_iter: int


def walk_path(
    fit: Problems,
    lambdas: np.ndarray,
    tol: float,
    max_iter: int,
    guide: np.ndarray | None = None,
    report: Callable[[np.ndarray], None] | None = None,
    checkpoint: Checkpoint = UNKEPT,
) -> Path:
    """Descend the strengths with one fit; see `walk_paths`.

    Parameters
    ----------
    guide : ndarray, shape (n_lambdas, n_problems, n_features), optional
    report : callable, optional
        Called with the number of strengths that every problem has behind it, shape (n_problems,).
    """
    follow = None if report is None else lambda level: report(level[0])
    guides = None if guide is None else [guide]
    return walk_paths([fit], evaluate_alone, Course(lambdas, tol, max_iter), guides, follow, checkpoint=checkpoint)[0]


def walk_paths(
    fits: Sequence[Problems],
    evaluate: Callable[[Asked], list[Evaluation]],
    course: Course,
    guides: list[np.ndarray] | None = None,
    report: Callable[[np.ndarray], None] | None = None,
    stop: Stop | None = None,
    checkpoint: Checkpoint = UNKEPT,
) -> list[Path]:
    """Descend the strengths with several fits, every problem at its own pace to near its minimum at each.

    Every fit begins at its own null model and hears nothing of the others; they meet where X is read, no more. So a
    fold ends where a fit to its training rows alone ends.

    With a guide, a path that is near, a problem comes to a strength at guide(λ_k) + w(λ_{k−1}) − guide(λ_{k−1}) where
    that is lower. Along directions that its rows leave undetermined it keeps what its guide says.

    Parameters
    ----------
    fits : list of Fit
        One of them may be several that are joined.
    evaluate : callable
        From (fit, problems, W, b) of several fits to the `Evaluation` of each.
    course : Course
    guides : list of ndarray, shape (n_lambdas, n_problems, n_features), optional
        Of every fit, those that are joined one by one.
    report : callable, optional
        Called with the number of strengths that the problems have behind them, shape (n_fits, n_problems).
    stop : callable, optional
        Called with the paths and what ``report`` gets; returns the problems that go no further in any fit, and how many
        strengths each problem may have behind it before the next call, shape (n_problems,).
    checkpoint : Checkpoint
        Where the walks are kept between rounds, and go on from.
    """
    # so that what is held for all problems of a round stays small
    most = max(MAX_PROBLEMS // sum(fit.n_fits for fit in fits), LEAST_TOGETHER)
    walks, first = [], 0
    for fit in fits:
        own, first = slice(first, first + fit.n_fits), first + fit.n_fits
        guide = None if guides is None else np.concatenate(guides[own], axis=1)
        walks.append(Walk(fit, np.tile(course.lambdas, (1, fit.n_fits)), *course[1:], guide, most))
    follow = None if report is None else lambda levels: report(np.stack(levels))
    run_walks(walks, evaluate, follow, stop, checkpoint)
    return [path for walk in walks for path in finished_paths(walk)]


def finished_paths(walk: Walk) -> list[Path]:
    """The paths of the fits of a walk, with their traces."""
    paths = walk.path.split(walk.fit.n_fits)
    for path, trace in zip(paths, walk.trace.split(walk.fit.n_fits), strict=True):
        path.trace = trace.sums()
    return paths


def run_walks(
    walks: list[Walk],
    evaluate: Callable[[Asked], list[Evaluation]] = evaluate_alone,
    report: Callable[[list[np.ndarray]], None] | None = None,
    stop: Stop | None = None,
    checkpoint: Checkpoint = UNKEPT,
) -> None:
    """Rounds of all walks until no problem has a strength before it; see `walk_paths`.

    ``report`` is called with the number of strengths that the problems of every walk have behind them. Only with
    ``stop`` need all walks have the same number of problems.
    """
    paths = [path for walk in walks for path in walk.path.split(walk.fit.n_fits)]
    levels = [level for walk in walks for level in walk.level.reshape(walk.fit.n_fits, -1)]
    engine = walks[0].fit.model.engine
    timed = walks[0].path.timed
    # whole fits side by side where there are enough of them for all workers; inside a fit less is in parallel
    side_by_side = engine.map if len(walks) >= engine.n_workers else lambda work, each: [work(*a) for a in each]

    def choose(walk: Walk) -> tuple[Walk, Round, Any]:
        here = walk.leave_strengths(walk.aim(walk.next_problems()))
        return walk, here, walk.fit.propose(here.problems)

    def learn(walk: Walk, here: Round, found: Evaluation) -> None:
        walk.accept_or_stay(here, found)
        walk.renew_models(here)

    def tell() -> None:
        if stop is not None:
            stopped, limit = stop(paths, np.stack(levels))
            for level in levels:
                level[stopped] = walks[0].n_lambdas
            for walk in walks:
                walk.limit = np.tile(limit, walk.fit.n_fits)
        if report is not None:
            report(levels)

    changing = Together(*walks, stop)
    if (kept := checkpoint.last()) is not None:
        changing.restore(kept)

    tell()
    while any(walk.is_going for walk in walks):
        with timed("blocks"):
            chosen = side_by_side(choose, [(walk,) for walk in walks if walk.can_go])
            trying = [(walk, here, point) for walk, here, point in chosen if len(here.problems)]
        with timed("evaluate"):
            found = evaluate([(walk.fit, *point) for walk, _, point in trying])
        with timed("blocks"):
            side_by_side(learn, [(*each[:2], trial) for each, trial in zip(trying, found, strict=True)])
        tell()
        for walk in walks:
            walk.fit.drop_models(walk.level == walk.n_lambdas)
        checkpoint.pause(changing.state)
