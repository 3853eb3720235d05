"""Many sessions, and sessions larger than a machine, on the workers of a Dask cluster."""
