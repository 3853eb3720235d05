"""What a session says about the columns of a design: statistics over known samples, visits, exact combinations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from popglm.design.terms import Term
from popglm.design.variables import SessionVariables
from popglm.messages import listed
from popglm.warnings import warn

__all__ = ["Block", "Dependence", "describe", "score", "warn_of_new_values", "warn_of_useless_columns"]

#: A column counts as never visited when its squares around the mean add up to less than this share of one full
#: visit: a single sample that comes to a tenth of a bump's peak is enough.
LEAST_VISIT = 0.01

#: A column is hardly visited with fewer full visits than this, if these are also fewer than one in so many samples, or
#: than one in so many visits of the most visited column of its group.
FULL_VISITS, OF_SAMPLES, OF_GROUP = 20.0, 1 / 250, 1 / 20

#: Columns beyond which conditions and combinations are not looked for: their cost grows with the cube.
MOST_COMPARED = 2000

#: Characters that a warning spends on the constant columns of one group, and on one of its sentences, at most.
LONGEST_OF_A_GROUP, LONGEST_SENTENCE = 200, 2400


@dataclass
class Block:
    """The columns of one term before z-scoring.

    Attributes
    ----------
    term : Term
    columns : slice
        Where they stand in the design.
    values : ndarray, shape (n_samples, n_columns)
        0 where unknown.
    known : ndarray or None, shape (n_samples, n_columns) or (n_samples, 1)
        As `Term.known` returns it.
    """

    term: Term
    columns: slice
    values: np.ndarray
    known: np.ndarray | None


def score(block: Block, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return z-scored columns, 0 where unknown; a value known in part is compared with that part of the mean."""
    return (block.values - (mean if block.known is None else mean * block.known)) / scale


def describe(block: Block, session: SessionVariables) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return the group's row of the report, and mean and scale of its columns over the known samples."""
    values, known, term = block.values, block.known, block.term
    if known is None:
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        n_known = np.full(values.shape[1], float(len(values)))
    else:
        n_known = np.broadcast_to(known, values.shape).sum(axis=0)
        mean = values.sum(axis=0) / np.maximum(n_known, 1e-300)
        deviation = np.sqrt(((values - mean * known) ** 2).sum(axis=0) / np.maximum(n_known, 1e-300))
    never = (deviation <= 1e-12 * np.abs(mean)) | (n_known == 0)  # all that varies is rounding
    scale, hardly = deviation, np.zeros(len(mean), dtype=bool)
    if term.peak is not None:
        peak = np.maximum(np.broadcast_to(term.peak, mean.shape), 1e-300)
        visits = n_known * (deviation / peak) ** 2
        never |= visits < LEAST_VISIT
        enough = np.minimum(FULL_VISITS, np.maximum(OF_SAMPLES * n_known, OF_GROUP * visits.max()))
        hardly = (visits < enough) & ~never
        held_back = deviation * np.divide(enough, visits, out=np.ones_like(visits), where=hardly) ** 4
        scale = np.where(hardly, np.minimum(held_back, np.maximum(peak / 2, deviation)), deviation)
    scale = np.where(never, np.inf, scale)
    outside = term.outside(session)
    row = {
        "columns": len(mean),
        "unknown": 0.0 if known is None else 1.0 - n_known.mean() / len(values),
        "outside": 0.0 if outside is None else float(outside.mean()),
        "never_visited": int(never.sum()),
        "hardly_visited": int(hardly.sum()),
        "condition": _condition(score(block, mean, np.where(never, np.inf, deviation))[:, ~never]),
    }
    return row, mean, scale


def _condition(columns: np.ndarray) -> float:
    """Return the condition number of centred columns, from the eigenvalues of their products."""
    if not 0 < columns.shape[1] <= MOST_COMPARED:
        return np.nan
    values = np.linalg.eigvalsh(columns.T @ columns)
    return float(np.sqrt(values[-1] / values[0])) if values[0] > 1e-12 * values[-1] else np.inf


class Dependence:
    """Which columns are exact combinations of others and a constant, found in a random sketch of the rows.

    Every row is added, with a random sign, to one of a few buckets: that keeps each exact combination, and with
    probability 1 - 1e-9 or so makes no other, at the cost of reading the columns once.

    Parameters
    ----------
    n_samples : int
    sizes : list of int
        Columns per group.

    References
    ----------
    Clarkson & Woodruff, Low rank approximation and regression in input sparsity time, STOC 2013.
    """

    def __init__(self, n_samples: int, sizes: list[int]):
        self.sizes = sizes
        self._sketch = None
        n_columns = sum(sizes)
        if n_columns > MOST_COMPARED:
            return
        rng = np.random.default_rng(0)
        n_buckets = min(n_samples, 4 * n_columns + 50)
        # no more samples than buckets: the rows are kept as they are
        bucket = np.arange(n_samples) if n_buckets == n_samples else rng.integers(n_buckets, size=n_samples)
        weight = rng.normal(size=n_samples)
        self._mix = sparse.csr_array((weight, (bucket, np.arange(n_samples))), shape=(n_buckets, n_samples))
        self._constant = self._mix @ np.ones(n_samples)
        self._sketch = np.zeros((n_buckets, n_columns))

    def add(self, columns: slice, z_scored: np.ndarray) -> None:
        """Take the columns of one group."""
        if self._sketch is not None:
            self._sketch[:, columns] = self._mix @ z_scored

    def collinear(self) -> np.ndarray:
        """Count such columns in every group, shape (n_groups,); NaN where there are too many columns."""
        if self._sketch is None:
            return np.full(len(self.sizes), np.nan)
        sketch = np.column_stack([self._constant, self._sketch])
        norms = np.linalg.norm(sketch, axis=0)
        used = norms > 1e-9 * norms[0]
        products = (sketch[:, used] / norms[used]).T @ (sketch[:, used] / norms[used])
        values, vectors = np.linalg.eigh(products)
        null = vectors[:, values < 1e-10 * values[-1]]
        part = np.zeros(len(norms), dtype=bool)
        part[used] = (null**2).sum(axis=1) > 1e-8
        stops = np.cumsum(self.sizes)
        return np.array([part[1:][stop - size : stop].sum() for stop, size in zip(stops, self.sizes, strict=True)])


def warn_of_useless_columns(
    constant: pd.MultiIndex, unknown: list[str], terms: Iterable[Term], session: SessionVariables
) -> None:
    """Name columns that are constant, groups without a known value, and variables with no sample in a term's range."""
    sentences = []
    constant = constant[~constant.isin(unknown, level="group")]
    if len(constant):
        features = constant.to_frame(index=False).groupby("group", sort=False)["feature"].agg(listed)
        named = listed((f"{group} ({names})" for group, names in features.items()), "; ", LONGEST_OF_A_GROUP)
        sentences.append(f"{len(constant)} constant column(s) carry no information and are set to 0: {named}")
    if unknown:
        sentences.append(f"no sample is known (NaN) of {len(unknown)} term(s), which are set to 0: {listed(unknown)}")
    sentences += _surprises(terms, session)
    if sentences:
        warn(_in_one(sentences))


def warn_of_new_values(terms: Iterable[Term], session: SessionVariables) -> None:
    """Warn of splines outside their fitted range, and of bumps and categories that no sample visits."""
    if sentences := _surprises(terms, session):
        warn(
            "samples that the design was not fitted to, of new data or kept for a test, differ from those of its fit: "
            f"{_in_one(sentences)}"
        )


def _in_one(sentences: list[str]) -> str:
    return listed(sentences, "; ", longest=LONGEST_SENTENCE)


def _surprises(terms: Iterable[Term], session: SessionVariables) -> list[str]:
    return list(dict.fromkeys(sentence for term in terms for sentence in term.surprises(session)))
