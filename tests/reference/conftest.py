"""What freezes the answers of other libraries runs in an environment of its own, and is no test."""

collect_ignore = ["make.py", "make_negative_binomial.py", "make_powers.py", "make_binomial.py"]
