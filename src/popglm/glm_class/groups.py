"""Groups of features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popglm.glm_class.checks import UsageError, check_sizes
from popglm.statistics.roughness import smoothness_matrix

__all__ = ["make_group_matrix", "make_prior_matrix", "parse_group_from_feature_names"]


def parse_group_from_feature_names(feature_names: Sequence[str]) -> tuple[list[int], list[str], np.ndarray]:
    """Groups of features, from names such as ``cue_fPos_bump0`` … ``cue_fPos_bump19``.

    Parameters
    ----------
    feature_names : sequence of str
        Neighbours with the same text before ``bump`` are one group; a name without ``bump`` is its own group.

    Returns
    -------
    group_size : list of int
    group_name : list of str
    group_ind : ndarray of int, shape (n_features,)
        Group of every feature.

    Raises
    ------
    UsageError
        If the features of a group are not next to each other.

    Examples
    --------
    >>> parse_group_from_feature_names(["cue_bump0", "cue_bump1", "speed"])
    ([2, 1], ['cue', 'speed'], array([0, 0, 1]))
    """
    group_size: list[int] = []
    group_name: list[str] = []
    open_group = None
    for name in feature_names:
        before, bump, _ = name.partition("bump")
        before = before.rstrip("_")
        if bump and before == open_group:
            group_size[-1] += 1
            continue
        if bump and before in group_name:
            raise UsageError(f"feature_names: {name!r} is not next to the other features of its group {before!r}.")
        open_group = before if bump else None
        group_size.append(1)
        group_name.append(before if bump else name)
    return group_size, group_name, np.repeat(np.arange(len(group_size)), group_size)


def make_group_matrix(feature_group_size: Sequence[int]) -> np.ndarray:
    """Membership of features in groups.

    Parameters
    ----------
    feature_group_size : sequence of int

    Returns
    -------
    ndarray, shape (n_groups, n_features)
        1 where the feature is in the group, else 0; its product with w² holds ‖w_g‖².

    Raises
    ------
    UsageError
        For sizes that are not whole numbers of at least 1.

    Examples
    --------
    >>> make_group_matrix([2, 1])
    array([[1., 1., 0.],
           [0., 0., 1.]])
    """
    sizes = check_sizes(feature_group_size)
    return np.repeat(np.eye(len(sizes)), sizes, axis=1)


def make_prior_matrix(feature_group_size: Sequence[int]) -> np.ndarray:
    """Second-difference matrix R of the smoothness penalty smooth_strength·wᵀRw.

    Parameters
    ----------
    feature_group_size : sequence of int

    Returns
    -------
    ndarray, shape (n_features, n_features)
        ``[-1, 2, -1]`` along the diagonal of each group, 1 for a group of one column.

    Raises
    ------
    UsageError
        For sizes that are not whole numbers of at least 1.

    Examples
    --------
    >>> make_prior_matrix([2, 1])
    array([[ 2., -1.,  0.],
           [-1.,  2.,  0.],
           [ 0.,  0.,  1.]])
    """
    return smoothness_matrix(check_sizes(feature_group_size))
