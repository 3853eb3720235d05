"""The smooth part of what is minimised: its value and gradient at one point per problem."""
