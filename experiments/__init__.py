"""One published study a file, each runnable alone; each writes a table and a figure."""
