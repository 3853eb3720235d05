#!/usr/bin/env bash
# pandas 3.1.1, read_csv: a comma at the end of each row moves every column under its neighbour's name.
#
# Expectation: loggers and microcontrollers often end each row with a comma, and the header without one. Each value then
# stands under its own name, and the empty one at the end under none, as with Python's csv.DictReader. Or the file is
# refused.
#
# Behaviour: where rows have one value more than the header, read_csv takes the first column for the index. "time" holds
# the positions, "position" the licks, and "lick" is NaN. The manual says so, but there is no warning. With
# index_col=False every value is under its own name.
#
# Why an analysis suffers: all columns are numbers, so everything runs. The clock is the position of the animal, and a
# model of "position" is fitted to licks. In a folder of sessions only those of one firmware version are shifted.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pandas==3.1.1

printf 'time,position,lick\n0.0,10.5,0,\n0.1,11.0,1,\n0.2,11.5,0,\n' >"$work/comma.csv"
printf 'time,position,lick\n0.0,10.5,0\n0.1,11.0,1\n0.2,11.5,0\n' >"$work/plain.csv"

"$work/venv/bin/python" - "$work" <<'PY'
import csv
import sys
import warnings

import pandas as pd

warnings.simplefilter("error")  # a warning would end the script: the behaviour is silent
plain = pd.read_csv(f"{sys.argv[1]}/plain.csv")
comma = pd.read_csv(f"{sys.argv[1]}/comma.csv")
named = pd.read_csv(f"{sys.argv[1]}/comma.csv", index_col=False)
with open(f"{sys.argv[1]}/comma.csv", newline="") as file:
    rows = list(csv.DictReader(file))

print("without the comma:", plain.to_dict("list"))
print("with the comma:   ", comma.to_dict("list"), "index", comma.index.tolist())
print("index_col=False:  ", named.to_dict("list"))
print("csv.DictReader:   ", rows[0])
as_described = (
    comma["time"].tolist() == plain["position"].tolist() == [10.5, 11.0, 11.5]
    and comma["position"].tolist() == plain["lick"].tolist()
    and comma["lick"].isna().all()
    and named.equals(plain)
    and [row["time"] for row in rows] == ["0.0", "0.1", "0.2"]
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
