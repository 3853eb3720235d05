"""The statistics of a fit, without numerics: families, penalties, sums of responses, deviance, selection."""
