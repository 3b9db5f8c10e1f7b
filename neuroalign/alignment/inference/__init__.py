"""What is beyond chance: of one target, of all at once, and among neighbours."""
