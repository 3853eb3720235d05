"""Commands as tests call them, and the recipe that they carry out."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from popglm.cli import app

RECIPE = """\
grid.series = "deconvolved_activity_plane_2"

[data]
path = "session.nwb"
activity = ["deconvolved_activity_plane_2", "deconvolved_activity_plane_0"]
activity_scale = 10

[variables]
position = {source = "frame_aligned_forward_and_lateral_position.0", rule = "hold", scale = 100, unit = "cm"}
cue = {source = "trials.is_cueB", scale = 2, offset = -1}
pitch = "frame_aligned_pitch_roll_yaw_velocity.0"

[[terms]]
basis = "bumps"
variable = "position"
n = 6
low = 10
high = 250
times = ["cue"]

[[terms]]
basis = "linear"
variable = "pitch"

[model]
penalty = "group_lasso"
n_lambdas = 4
lambda_min_ratio = 0.01
cv = 3

[test]
fraction = 0.2

[explain]
n_points = 10
compare = true
bootstrap = 5

[explain.by.position]
low = 20
high = 230
n = 8
unit = "cm"
"""


def run(*arguments):
    """What a command printed, on both outputs, and its exit code."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def as_json(*arguments):
    """What a command prints as JSON."""
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)
