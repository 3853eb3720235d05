"""Datasets in files, whole or not at all; of the estimators that they describe this room knows nothing."""
