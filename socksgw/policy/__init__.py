"""Stage 4 of a session: rules decide what is allowed, address by address."""
