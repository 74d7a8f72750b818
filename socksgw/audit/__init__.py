"""Stage 7 of a session: the record of what was decided and what became of it."""
