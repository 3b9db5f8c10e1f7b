"""How well any model could do: from other subjects, and from repeats."""
