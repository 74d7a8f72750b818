"""Stage 1: clients arrive; listeners, admission, the inbound protocol."""
