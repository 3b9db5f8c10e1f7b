"""Networks of sound."""
