"""Whether times can be in seconds, told by the grid alone: no part disagrees where all are in milliseconds."""

from __future__ import annotations

import numpy as np

__all__ = ["doubts_of_unit"]

#: Bins of recordings of neurons are between these widths (s); trials and recordings are no longer than these (s).
SHORTEST_BIN, LONGEST_BIN = 1e-4, 5.0
LONGEST_TRIAL, LONGEST_RECORDING = 3_600.0, 86_400.0


def doubts_of_unit(times: np.ndarray, trial: np.ndarray, width: float) -> list[str]:
    """What to look at where bins, trials or the whole recording last as none in seconds would, but in another unit.

    Parameters
    ----------
    times : ndarray, shape (n_bins,)
        Starts of bins.
    trial : ndarray, shape (n_bins,)
    width : float
        Of a bin.

    Returns
    -------
    list of str
        One sentence, or none. Slow recordings exist, so none of these is a fault.

    Examples
    --------
    >>> doubts_of_unit(np.arange(40) * 50.0, np.repeat(np.arange(4), 10), 50.0)[0][:53]
    'bins of 50 s are unusual: are all times in seconds? I'
    >>> doubts_of_unit(np.arange(40) * 0.05, np.repeat(np.arange(4), 10), 0.05)
    []
    """
    if not len(times):
        return []
    lengths = np.unique(trial, return_counts=True)[1] * width
    span = float(times[-1] - times[0]) + width
    found = []
    if width < SHORTEST_BIN or width > LONGEST_BIN:
        found.append(f"bins of {width:g} s")
    if np.median(lengths) > LONGEST_TRIAL:
        found.append(f"trials of {np.median(lengths) / 3600:.3g} hours")
    if span > LONGEST_RECORDING:
        found.append(f"a recording of {span / 3600:,.3g} hours")
    if not found:
        return []
    unit = "hours" if width < SHORTEST_BIN else "milliseconds"
    scale = "3600" if width < SHORTEST_BIN else "0.001"
    return [
        f"{' and '.join(found)} are unusual: are all times in seconds? If they are in {unit}, mend the clock of every "
        f"part with a line such as clock_scale.trials = {scale}"
    ]
