"""The model of Tseng et al. (2022) from an NWB file: 318 columns over position, time and eight task variables.

The file has the shape of dandiset 000579, four planes of a volume. ``popglm demo --nwb session.nwb`` writes such a
file of a simulated session; then

    python examples/tseng_2022.py session.nwb
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

import popglm as pg

#: The plane whose frames are the samples: the velocity's network predicts at its frames.
CLOCK = "deconvolved_activity_plane_2"
PLACE = "frame_aligned_forward_and_lateral_position.0"
VELOCITY = "frame_aligned_pitch_roll_yaw_velocity"


def sign(column: str, **more: bool) -> pg.Variable:
    """A column of the trials as −1 and 1."""
    return pg.Variable(f"trials.{column}", scale=2, offset=-1, **more)


def at_frame(source: str, **more: float | str) -> pg.Variable:
    """A signal as it was at the frame, without any interpolation."""
    return pg.Variable(source, rule="hold", **more)


#: The variables of the paper: centimetres, seconds after the choice, and task variables from −1 to 1.
VARIABLES = {
    "position": at_frame(PLACE, scale=100),
    "time_from_choice": at_frame("frame_aligned_time_from_choice_point", where="time_from_choice >= 0"),
    "cue": sign("is_cueB"),
    "cho": sign("is_choL"),
    "corr": sign("is_correct"),
    "prevCorr": sign("is_correct", previous=True),
    "rule_following": pg.Variable("trials.rule_following"),
    "bias_following": pg.Variable("trials.bias_following"),
    "belief": pg.Variable("trials.rule_belief"),
    "dyn_cho": at_frame("RNN_prediction.0"),
    "pitch": at_frame(f"{VELOCITY}.0"),
    "roll": at_frame(f"{VELOCITY}.1"),
    "yaw": at_frame(f"{VELOCITY}.2"),
}
TASK = ("cue", "cho", "corr", "prevCorr", "rule_following", "bias_following", "belief", "dyn_cho")


def read(path: Path) -> xr.Dataset:
    """All planes on the frames of one, with the variables of the paper; activity is ten times the file's."""
    session = pg.read_nwb(path)
    planes = [name for name in session.activity if name.startswith("deconvolved")]
    data = session.regrid(clock=CLOCK, activity=planes, variables=VARIABLES)
    data["activity"] = data["activity"] * 10
    return data


def design() -> pg.Design:
    """Position and time, each alone and times every task variable, and splines of the velocities."""
    position = pg.bumps("position", n=20, low=10, high=250)
    elapsed = pg.bumps("time_from_choice", n=13, low=0, high=5)
    return pg.Design(
        [
            *(position, *(position * variable for variable in TASK)),
            *(elapsed, *(elapsed * variable for variable in TASK)),
            *(pg.splines(variable, n=7, quantiles=True) for variable in ("pitch", "roll", "yaw")),
        ],
        trial="trial",
    )


def main(path: Path) -> None:
    """Fit, and tell what each variable contributes."""
    data = read(path)
    print(data.attrs["notes"])
    X = design().fit_transform(data)
    print(
        f"{X.shape[0]:,} samples × {X.shape[1]} columns, {data.sizes['neuron']} neurons of {data['part'].values[0]} …"
    )
    model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -6, 11), cv=5)
    model.fit(X, data["activity"], groups=data["trial"])
    print(f"median deviance explained, held out: {np.median(model.cv_deviance_explained_):.3f}")
    shares = pg.breakdown(model, X, data["activity"], {name: f"* × {name}" for name in TASK})
    print(shares["fraction_explained_deviance"].median("neuron").to_series().round(3).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "session.nwb"))
