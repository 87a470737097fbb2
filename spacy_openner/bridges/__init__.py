"""Other packages that read entities: a module each, which needs the package that it is named after."""
