"""Minimisers of a local model under its penalty."""
