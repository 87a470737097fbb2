"""What training adds: losses, sampling of types, the optimizer and its schedule."""
