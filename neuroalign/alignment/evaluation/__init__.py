"""Nested cross-validation: what is held out, what is fitted and chosen inside, how it is scored."""
