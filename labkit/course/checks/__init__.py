"""The checks of the exercises, one module an hour. Each registers its exercises when it is imported."""
