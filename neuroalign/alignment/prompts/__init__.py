"""The prompts of a network beside each other."""
