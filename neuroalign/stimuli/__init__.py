"""What was said and when: words, their onsets, and the passages they belong to."""
