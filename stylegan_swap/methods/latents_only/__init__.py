"""A published generator or encoder: it inverts and generates, and does not swap."""
