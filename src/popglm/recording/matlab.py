"""Files of MATLAB."""

from __future__ import annotations

from typing import Any

from popglm.recording.files import path_of
from popglm.recording.mat_files import MatFile
from popglm.recording.named_arrays import NamedArrays
from popglm.recording.session import Session

__all__ = ["read_matlab"]


def read_matlab(
    path: Any,
    *,
    activity: Any = None,
    neurons: Any = None,
    signals: Any = None,
    events: Any = None,
    trials: Any = None,
    times: Any = None,
    rate: Any = None,
) -> Session:
    """Read a .mat file of any version, saying which variable is what.

    Names are those of variables: ``"F"``; of fields of structs: ``"vr.speed"``; of elements, counted from 1:
    ``"session(2).F"``. ``"F.T"`` is a matrix with its axes exchanged. `popglm.contents` lists what a file holds. In
    place of a name, a mapping gives the arguments of the maker of that part, with names in place of arrays:
    ``signals={"wheel": {"values": "wheel_position", "times": "wheel_t", "unit": "cm"}}``.

    Parameters
    ----------
    path : path
    activity : str, list of str, or mapping of labels to names or arguments, optional
        A matrix, samples × neurons, or a cell array of spike times (s) per neuron. Of spikes in one vector,
        ``{"spikes": {"times": "st", "clusters": "clu"}}``. Further arguments are those of `popglm.recording.traces`.
    neurons : str, or mapping of columns to names, optional
        A struct with a value per neuron, or the names of the neurons.
    signals : str, list of str, or mapping, optional
        Vectors, or matrices of samples × columns. Further arguments are those of `popglm.recording.signal`: with
        ``"steps": True``, a value holds until the next sample.
    events : str, list of str, or mapping, optional
        Times (s), or a cell array of times per trial.
    trials : str, or mapping of columns to names, optional
        A struct array, or a struct of vectors, with ``start_time`` and ``stop_time`` (s): under other names,
        ``{"start_time": "trials.onset", "choice": "trials.choice"}``. Or the trial number of each sample, which becomes
        a signal.
    times : str or array-like, optional
        Times of samples (s), of all parts that have none of their own.
    rate : float or str, optional
        Samples per second, in place of times.

    Returns
    -------
    Session

    Raises
    ------
    TypeError
        If a part has neither times nor a rate, or both.
    ValueError
        If the file is damaged or not of MATLAB; if there is no such variable, or it is an object that only MATLAB
        reads; or if lengths differ.
    FileNotFoundError
        If there is no such file.

    Notes
    -----
    A matrix whose second axis has the length of its times, and whose first has not, is turned round, with a warning.
    With a rate nothing tells samples from neurons: look at the shape that is printed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, scipy.io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "session.mat")
    ...     vr = {"speed": np.arange(90.0)[:, None]}
    ...     tr = {"start_time": [0.0, 1.5], "stop_time": [1.5, 3.0], "cue": np.array(["left", "right"], dtype=object)}
    ...     scipy.io.savemat(path, {"F": np.ones((4, 90)), "vr": vr, "tr": tr})
    ...     session = read_matlab(path, activity="F.T", signals="vr.speed", trials="tr", rate=30)
    >>> session
    Session: activity F (90 samples × 4 neurons); signals speed; intervals trials (2)
    >>> session.trials
       start_time  stop_time    cue
    0         0.0        1.5   left
    1         1.5        3.0  right
    """
    found = path_of(path, "read_matlab")
    file = MatFile(found, "read_matlab")
    named = NamedArrays("read_matlab", file.names, file.get)
    attrs = {"source": str(found), "format": "MATLAB"}
    return named.session(activity, neurons, signals, events, trials, times, rate, attrs)
