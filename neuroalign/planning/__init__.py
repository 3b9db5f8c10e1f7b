"""What each job of a study will need, told before any of them runs."""
