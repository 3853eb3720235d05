"""Held-out deviance of a classifier with some of its variables alone, for every subset of variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert

from popglm.engines import get_engine
from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.classifier.labels import weights_by_class
from popglm.estimators.classifier.offsets import beside_classes
from popglm.estimators.classifier.predictions import class_predictors
from popglm.estimators.validation import over_neurons
from popglm.explain.class_ablation import ClassActivity, ClassPredictor
from popglm.explain.class_refits import ClassDataOfFit, ClassRefits
from popglm.explain.contributions import neuron_blocks
from popglm.solve.categorical.objective import CategoricalObjective, Labels
from popglm.statistics.categorical import terms

__all__ = ["AblatedClassSubsets", "BestIntercepts", "RefittedClassSubsets"]


@dataclass(frozen=True, eq=False)
class AblatedClassSubsets:
    """The model's folds with the weights of some variables at 0, and the intercepts that are then best.

    Attributes
    ----------
    data : ClassDataOfFit
        X in memory.
    columns : list of ndarray of int
        Of every variable.
    """

    model: ClassifierGLMCV
    data: ClassDataOfFit
    columns: list[np.ndarray]

    def deviances(self) -> np.ndarray:
        """Of every subset, summed over held-out samples: (2**n_variables, n_responses)."""
        model, codes = self.model, self.data.codes
        s = weights_by_class(model.class_weight, codes, model.classes_, self.data.weight)
        weights = np.broadcast_to(over_neurons(s), codes.shape) * (codes >= 0)
        found = np.zeros((2 ** len(self.columns), codes.shape[1]))
        for f, (train, test) in enumerate(model.splits_ or []):
            for r in range(codes.shape[1]):
                there = np.flatnonzero(model.cv_class_counts_[f, r] > 0)
                fitted = train[weights[train, r] > 0]
                held = test[(weights[test, r] > 0) & np.isin(codes[test, r], there)]
                if len(held):
                    found[:, r] += self._of_fold(f, r, there, fitted, held, weights[:, r])
        return found

    def _of_fold(
        self, f: int, r: int, there: np.ndarray, fitted: np.ndarray, held: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Deviances (2**n_variables,) of the rows ``held``, beside intercepts for the rows ``fitted``."""
        coef, start = self.model.cv_coef_[f, r][there], self.model.cv_intercept_[f, r][there]
        place = np.searchsorted(there, self.data.codes[:, r])
        rest = np.setdiff1d(np.arange(coef.shape[1]), np.concatenate(self.columns))
        parts = [self._part(coef, own, fitted, held) for own in [rest, *self.columns]]
        if self.data.offset is not None:
            beside = beside_classes(self.data.offset, slice(r, r + 1))[:, 0, there]
            parts[0] = parts[0][0] + beside[fitted].T, parts[0][1] + beside[held].T
        own = BestIntercepts(place[fitted], weights[fitted], len(there))
        one = (np.arange(len(there))[:, None] == place[held]).astype(float)
        found = np.zeros(2 ** len(self.columns))
        for subset in range(len(found)):
            # samples of the training rows, and held-out ones, in turn
            chosen = [parts[0], *(part for v, part in enumerate(parts[1:]) if subset >> v & 1)]
            eta, eta_held = (np.sum([part[i] for part in chosen], axis=0) for i in range(2))
            b = own.best(eta, start) if self.model.fit_intercept else start
            with np.errstate(divide="ignore", over="ignore"):
                found[subset] = 2 * weights[held] @ terms(np, eta_held + b[:, None], one).loss
        return found

    def _part(
        self, coef: np.ndarray, columns: np.ndarray, fitted: np.ndarray, held: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What some columns add to the predictors (n_classes, n_rows) of the two kinds of rows."""
        own, zero = coef[None, :, columns], np.zeros((1, len(coef)))
        whole = [class_predictors(self.data.X[rows][:, columns], own, zero)[:, 0].T for rows in (fitted, held)]
        return np.ascontiguousarray(whole[0]), np.ascontiguousarray(whole[1])


class BestIntercepts:
    """The best intercepts (n_classes,) beside given predictors, as the solver has them."""

    def __init__(self, codes: np.ndarray, weights: np.ndarray, n_classes: int) -> None:
        n = len(codes)
        engine = get_engine("numpy", None, "float64", [])
        bare = np.zeros((n, 1))
        basis = helmert(n_classes) if n_classes > 1 else np.eye(1)
        self.objective = CategoricalObjective(engine, bare, Labels(codes, weights), [(0, n)], basis, None, True)

    def best(self, eta: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Beside predictors (n_classes, n_samples)."""
        etas = [eta[:, first:last] for first, last in self.objective.windows]
        return self.objective.best_intercepts(etas, start)


@dataclass(frozen=True, eq=False)
class RefittedClassSubsets:
    """Fits to some variables alone, on the folds and at the strength of every response.

    Attributes
    ----------
    data : ClassDataOfFit
    columns : list of ndarray of int
        Of every variable.
    """

    model: ClassifierGLMCV
    data: ClassDataOfFit
    columns: list[np.ndarray]

    def deviances(self) -> tuple[np.ndarray, int]:
        """Of every subset, summed over held-out samples: (2**n_variables, n_responses); and re-fits outside `tol`."""
        model, data = self.model, self.data
        full = ClassPredictor.make(model, data.X, data.offset, held_out=True)
        scored = ClassActivity.make(model, data.y, len(data.X), full.rows, data.weight, None, folds=model.fold_)
        refits = ClassRefits(model, data, on_all_rows=False, reselect=False)
        found, late = np.zeros((2 ** len(self.columns), len(model.neuron_names_))), 0
        everything = np.arange(model.n_features_in_)
        for subset in range(len(found)):
            removed = [own for v, own in enumerate(self.columns) if not subset >> v & 1]
            predictor = full
            if removed:
                fitted = refits.fit(str(subset), np.setdiff1d(everything, np.concatenate(removed)))
                predictor, late = fitted.predictor(full), late + fitted.late
            for responses in neuron_blocks(len(data.X), len(model.neuron_names_)):
                found[subset, responses] = scored.deviance(predictor.eta(responses), responses)[0]
        return found, late
