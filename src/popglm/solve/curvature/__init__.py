"""The matrix B of local models: a Gram matrix, and curvature pairs."""
