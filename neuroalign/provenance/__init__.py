"""By what results were made, and what makes a stage run again."""
