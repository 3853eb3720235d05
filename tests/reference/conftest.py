"""`make.py` runs in an environment of its own and is no test."""

collect_ignore = ["make.py"]
