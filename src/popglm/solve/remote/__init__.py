"""Rows of one design on several workers: each sums over its own, and the sums are added up here."""
