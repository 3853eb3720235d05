"""What kernels are a change of, and the ticks of factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.ticker import FixedFormatter, FixedLocator

__all__ = ["factor_ticks", "with_link"]


def with_link(label: str, data: xr.Dataset) -> str:
    """The label with what it is a change of."""
    if "of_classes" in data.attrs:
        return label.format("log odds").replace("on the rate", "on the odds")
    # a factor on the rate exists where the linear predictor is the log of the rate
    return label.format("log rate" if "gain" in data else "linear predictor")


def factor_ticks(limit: float) -> dict[str, Any]:
    """Ticks of a colour bar from 1 / e^limit to e^limit, with as many digits as tell them apart."""
    ticks = np.exp(limit * np.linspace(-1, 1, 5))
    written = ([f"{tick:.{digits}g}" for tick in ticks] for digits in range(2, 8))
    labels = next((words for words in written if len(set(words)) == len(words)), [f"{tick:.7g}" for tick in ticks])
    return {"ticks": FixedLocator(ticks.tolist()), "format": FixedFormatter(labels)}
