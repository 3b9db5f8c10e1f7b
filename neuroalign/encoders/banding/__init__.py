"""Feature spaces with weights of their own: candidates, how they are tried, and who chooses among them."""
