"""StyleGAN2: generator, discriminator, styled convolution, prior of codes, published configurations."""
