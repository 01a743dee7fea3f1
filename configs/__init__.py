"""Presets: data only. This file is here so that importlib.resources finds the .toml files beside it."""
