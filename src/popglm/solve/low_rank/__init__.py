"""Populations whose weights of some columns are together of low rank."""
