"""The systems behind ``swap(method=…)``: one folder per system, found through ``methods.registry``."""
