"""Networks of words, alone or with images."""
