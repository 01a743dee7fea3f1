"""Measurements of Pennyweight next to its peers: see README.md. Not part of the installed package."""
