"""Pictures: decoding, reading and writing of photographs."""
