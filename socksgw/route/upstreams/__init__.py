"""Other gateways that sessions leave through."""
