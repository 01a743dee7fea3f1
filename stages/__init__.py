"""Reversible steps: one stream of bytes in, named streams out. They know no file, no thread and no container."""
