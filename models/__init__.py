"""Reference networks in Flax NNX and the tasks they are measured on; not part of the installed library."""
