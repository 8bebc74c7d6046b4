"""Readers of foreign files; none executes what it reads."""
