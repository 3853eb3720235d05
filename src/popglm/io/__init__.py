"""Fitted models in files."""

from popglm.io.store import load, save, to_dataset

__all__ = ["load", "save", "to_dataset"]
