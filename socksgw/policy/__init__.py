"""Stage 4: the rules say what is allowed, per address."""
