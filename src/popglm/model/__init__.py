"""Statistics without numerics: losses, penalties, deviance, selection, and the estimators."""
