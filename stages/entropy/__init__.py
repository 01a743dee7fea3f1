"""Stages that make a stream shorter."""
