"""What stages leave on disk: where it lies, how it is written whole, and how it is opened."""
