"""Where a face lies and what shape it has: alignment, head pose, face shape, thin-plate splines."""
