"""Local models: of fits, and of single problems."""
