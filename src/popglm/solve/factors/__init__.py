"""Penalty factors that differ from neuron to neuron: fits under them, and the search for them."""
