"""What an objective without a penalty can still gain within bounds on its weights, by its second derivatives.

A quadratic gᵀd + ½dᵀHd is followed to its minimum with weights held that press against their bounds: those whose
force −g points outwards. Where all of these still press there, holding them costs nothing, and the fall is that of the
quadratic within the bounds, or more where others would leave theirs. One that does not press any more is let go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from popglm.solve.passes.hessian import newton

__all__ = ["decrement_of_gram", "newton_within"]

#: Added to a Gram matrix, over its largest variance: below, there is rounding alone.
LEAST = 1e-12


def newton_within(g: np.ndarray, R: np.ndarray, dtype: np.dtype, pressed: np.ndarray) -> tuple[np.ndarray, float]:
    """`popglm.solve.passes.hessian.newton` where weights may be held at their bounds.

    Parameters
    ----------
    pressed : ndarray, shape as g
        The sign of the force on a weight that presses against its bound; 0 for others.
    """

    def held_step(held: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        step, decrement = newton(np.where(held, 0, g), np.where(held, 0, R), dtype)
        return step, R.T @ (R @ step), decrement

    return _followed(g, pressed, held_step)


def decrement_of_gram(G: np.ndarray, g: np.ndarray, pressed: np.ndarray) -> float:
    """The decrement of `newton_within` for H = G (n_features, n_features)."""
    ridge = LEAST * np.diag(G).max(initial=0) * np.eye(len(G))

    def held_step(held: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        step, moving = np.zeros(len(g)), np.flatnonzero(~held & (np.diag(G) > 0))
        step[moving] = -np.linalg.solve((G + ridge)[np.ix_(moving, moving)], g[moving])
        return step, G @ step, float(-g @ step)

    return _followed(g, pressed, held_step)[1]


def _followed(
    g: np.ndarray, pressed: np.ndarray, held_step: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, float]]
) -> tuple[np.ndarray, float]:
    """Step and decrement with weights held until all of them press against their bounds at its end, too.

    ``held_step`` has the step where some are held, what it changes the gradient by, and its decrement.
    """
    held = pressed != 0
    while True:
        step, change, decrement = held_step(held)
        let_go = held & (pressed * (g + change) > 0)
        if not let_go.any():
            return step, decrement
        held &= ~let_go
