"""Choose thresholds and measure reliability on annotated docs."""
