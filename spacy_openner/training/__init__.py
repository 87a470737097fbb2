"""Parts of training: losses, sampling of types, the optimizer and its schedule."""
