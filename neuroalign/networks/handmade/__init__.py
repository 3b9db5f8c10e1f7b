"""Features that somebody thought of, computed from the stimuli."""
