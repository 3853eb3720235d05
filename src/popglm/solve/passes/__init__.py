"""What touches samples: passes over the rows of X, and the sums that come of them."""
