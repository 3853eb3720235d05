"""Sessions in NWB files: HDF5 or Zarr, on a disk or behind a URL."""

from popglm.recording.nwb.reader import read_nwb

__all__ = ["read_nwb"]
