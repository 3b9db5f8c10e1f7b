"""Simulated studies: what was planted beside what came back."""
