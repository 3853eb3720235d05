"""A sparse X: its products with weights and residuals, and its sums, without ever holding it dense."""
