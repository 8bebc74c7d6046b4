"""The systems behind ``swap(method=…)``: one file per system, found through ``stylegan_swap.registry``."""
