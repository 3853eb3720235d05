"""A recipe carried out: from a file to a session, a design, a fit, its explanation, and a result that is kept."""
