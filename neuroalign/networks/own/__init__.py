"""Modules and features of one's own."""
