"""What a training run shares: callbacks, checkpoints, averages, history, processes."""
