"""Reference networks in Flax NNX and the tasks they are measured on."""
