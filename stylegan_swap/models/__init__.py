"""The networks: generator, discriminator, swapper, attributes, identity."""
