"""Composition of stages into plans, files, threads: everything between the face and the stages."""
