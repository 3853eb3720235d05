"""The shared models of several fits as one, so that the problems of all take their steps in the same few calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.curvature.local_model import LocalModel, parts_of_fits
from popglm.solve.local_models.quadratic import QuadraticModel, pays_workers

__all__ = ["JoinedModels"]


class JoinedModels(QuadraticModel):
    """The models of fits whose problems are numbered one fit after the other, with steps for norms of groups.

    Parameters
    ----------
    models : sequence of QuadraticModel
    n_of_fit : int
        Problems of each.
    """

    def __init__(self, models: Sequence[QuadraticModel], n_of_fit: int) -> None:
        """Take what all models have alike from the first of them."""
        first = models[0]
        self.models, self.n_of_fit = models, n_of_fit
        self.engine, self.penalty, self.thin, self.G = first.engine, first.penalty, first.thin, first.G
        self.n_parts, self.split, self.diagonal = first.engine.n_workers, False, False

    @classmethod
    def of(cls, models: Sequence[QuadraticModel], n_of_fit: int) -> JoinedModels | None:
        """Some models as one, where there are several and their steps are for norms of groups."""
        first = models[0]
        others = first.split or first.diagonal or first.thin or first.penalty.R is not None
        return None if others or len(models) < 2 or not first.penalty.has_norm else cls(models, n_of_fit)

    @property
    def shares_out(self) -> bool:
        """Always: see `QuadraticModel`."""
        return True

    def portions(self, problems: np.ndarray) -> list[np.ndarray]:
        """All problems: they are shared out here."""
        return [problems]

    def remember(self, memory: CurvatureMemory, neurons: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs, those of one fit after the other: what is made on the way is as large as they are."""

        def push(model: QuadraticModel, at: slice) -> None:
            memory.push(neurons[at], s[at], y[at], lambda _, s: model.times_G(s))

        each = list(self._each(neurons))
        if pays_workers(len(s), s.shape[1]):
            self.engine.map(push, each)
        else:
            for model, at in each:
                push(model, at)

    def local(self, at, memory: CurvatureMemory, neurons, c, tau, lam2) -> LocalModel:
        """See `SplitModel`."""
        values, vectors, transposed = self._spectra
        rows = neurons[at]
        return LocalModel(
            self.engine.product, [model.G_fast for model in self.models], values, vectors, transposed,
            rows // self.n_of_fit, self.penalty, c[at], lam2[at], tau[at], rows, memory.pairs,
        )  # fmt: skip

    @cached_property
    def _spectra(self) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Eigenvalues (n_fits, n_features), eigenvectors, and the latter's transposes."""
        values, vectors, transposed = zip(
            *self.engine.map(lambda model: model.fast_spectrum, [(model,) for model in self.models]), strict=True
        )
        return np.stack(values), list(vectors), [one for (one,) in transposed]

    def _each(self, neurons: np.ndarray) -> Iterator[tuple[QuadraticModel, slice]]:
        """The model of every fit, and where its own are among some problems, which ascend."""
        return parts_of_fits(self.models, self.n_of_fit, neurons)
