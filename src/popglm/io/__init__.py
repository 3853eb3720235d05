"""Datasets and states of fits in files, whole or not at all; of the estimators this room knows nothing."""
