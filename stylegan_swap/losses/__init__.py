"""What training minimises: one file per term, each a function of tensors that returns one number per image.

Beside the road; ``stylegan_swap.training`` weighs the terms and adds them up.
"""
