"""Stage 6: octets move between the client and the destination."""
