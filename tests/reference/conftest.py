"""`make.py` and `make_negative_binomial.py` run in an environment of their own and are no tests."""

collect_ignore = ["make.py", "make_negative_binomial.py"]
