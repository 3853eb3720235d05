"""Fits of categorical responses."""
