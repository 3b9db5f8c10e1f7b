"""What stands beside each other: encoders, parts of the variance, prompts."""
