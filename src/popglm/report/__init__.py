"""A result as one HTML page that needs nothing else: what the population does, and every neuron."""
