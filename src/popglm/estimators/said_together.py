"""What both parts of a `TwoPartGLM` say together, as long as they have the strengths that it is of."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["TOGETHER", "SaidTogether"]

#: What both parts say together, without the underscore of the attributes, and its dimensions.
TOGETHER = {
    "dispersion": "neuron",
    "deviance_dispersion": "neuron",
    "cv_dispersion": ("fold", "neuron"),
    "cv_deviance_explained": "neuron",
    "cv_log_likelihood": "neuron",
}


class SaidTogether:
    """Attributes of a `TwoPartGLM` that depend on both parts."""

    events_: Any
    amounts_: Any
    _together: dict[str, np.ndarray]
    _strengths: list[np.ndarray]

    def _keep(self, together: dict[str, np.ndarray]) -> None:
        """Set what both parts say together at their strengths."""
        self._together, self._strengths = together, _strengths_of(self)

    def _say(self, name: str) -> np.ndarray:
        """One of what both parts say together, unless a part has other strengths since."""
        if "_together" not in vars(self):
            raise AttributeError(f"TwoPartGLM has no {name}_ before it is fitted.")
        now = _strengths_of(self)
        if not all(np.array_equal(own, kept) for own, kept in zip(now, self._strengths, strict=True)):
            raise ValueError(
                "This TwoPartGLM has a part whose strengths were selected again on its own. Call select(X, Y) of the "
                "TwoPartGLM itself, with the data of the fit: it selects both, and finds their dispersions anew."
            )
        return self._together[name]

    @property
    def deviance_dispersion_(self) -> np.ndarray:
        """φ beside the mean of all amounts, shape (n_neurons,)."""
        return self._say("deviance_dispersion")

    @property
    def dispersion_(self) -> np.ndarray:
        """φ of the amounts, shape (n_neurons,)."""
        return self._say("dispersion")

    @property
    def cv_dispersion_(self) -> np.ndarray:
        """φ of every fold's training samples, shape (n_folds, n_neurons)."""
        return self._say("cv_dispersion")

    @property
    def cv_deviance_explained_(self) -> np.ndarray:
        """Fraction of the joint deviance of held-out samples, shape (n_neurons,)."""
        return self._say("cv_deviance_explained")

    @property
    def cv_log_likelihood_(self) -> np.ndarray:
        """Joint log-likelihood of held-out samples, shape (n_neurons,)."""
        return self._say("cv_log_likelihood")


def _strengths_of(model: Any) -> list[np.ndarray]:
    """Which strengths, and blends of relaxed weights, both parts have at present."""
    own = [value for part in (model.events_, model.amounts_) for value in (part.lambda_index_, part.gamma_)]
    return [np.array(value) for value in own if value is not None]
