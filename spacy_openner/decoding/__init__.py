"""Pure algorithms that turn scores and generated text into entities: integers and numpy, no network and no Doc."""
