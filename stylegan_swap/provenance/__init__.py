"""What a result says of its making: metadata, C2PA credentials, consent, watermark."""
