"""What is beyond chance: in a subject, among neighbours, and over subjects."""
