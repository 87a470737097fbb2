"""spaCy components: the protocol of spaCy and nothing else."""
