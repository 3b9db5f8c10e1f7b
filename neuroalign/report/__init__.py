"""One HTML page that says what was found, and how sure we are."""
