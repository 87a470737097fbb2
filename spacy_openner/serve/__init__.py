"""An HTTP service around a pipeline: requests are batched together, bounded and answered in order of arrival."""
