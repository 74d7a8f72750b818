"""Stage 5: from a verdict to an open connection."""
