"""Kinds of fits: by passes over rows, by Gram matrices alone, side by side, and of few columns."""
