"""Rows of one design on several workers: how they are reached, and asked for their parts of a sum."""
