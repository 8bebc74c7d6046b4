"""Building blocks of swapping networks: cells, code swapper, modulation, photo pyramid, landmark maps."""
