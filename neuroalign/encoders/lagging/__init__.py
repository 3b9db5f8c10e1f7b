"""Time-lagged features, known by their moments: the lagged matrix is never formed."""
