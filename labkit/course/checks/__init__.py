"""The checks of the exercises: one module a notebook, and beside it what is said about its exercises."""
