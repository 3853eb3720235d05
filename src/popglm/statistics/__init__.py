"""The statistics of a fit, without numerics: losses, penalties, sums of responses, deviance, selection."""
