"""Stage 2: the authentication method is chosen and its sub-negotiation led."""
