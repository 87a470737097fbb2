"""Networks, their inputs, and the checkpoints that they come from."""
