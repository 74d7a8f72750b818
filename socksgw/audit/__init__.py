"""Stage 7: what was decided and what became of it, for the record."""
