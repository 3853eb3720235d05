"""Datasets in files, whole or not at all; of what they describe this room knows nothing."""

from popglm.io.netcdf import read_described, write_described

__all__ = ["read_described", "write_described"]
