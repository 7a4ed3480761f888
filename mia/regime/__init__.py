"""Which kind of market it is: a hidden Markov model and its forward filter."""
