"""What numba makes of loops, and how it is kept."""
