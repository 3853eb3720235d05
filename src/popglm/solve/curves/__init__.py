"""Curves whose strengths of smoothing are chosen for every neuron, and shapes that they must have."""
