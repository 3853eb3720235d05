"""What freezes the answers of other libraries runs in an environment of its own, and is no test."""

collect_ignore_glob = ["make*.py"]
