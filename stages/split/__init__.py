"""Stages that take elements apart, so that like comes to lie beside like."""
