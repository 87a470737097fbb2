"""PyTorch and Hugging Face parts that know no task."""
