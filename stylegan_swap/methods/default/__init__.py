"""The project's own system: encoder into W+, code swapper, attribute encoder, generator."""
