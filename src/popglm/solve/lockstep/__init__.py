"""The solver for accelerators: all columns walk down the strengths in step, by array operations of fixed shapes."""
