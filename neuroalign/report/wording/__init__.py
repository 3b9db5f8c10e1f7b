"""What the page says in sentences: findings, cautions, methods."""
