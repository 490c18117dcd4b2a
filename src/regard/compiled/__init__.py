"""Compiled numerical code: numbers in, numbers out; knows no attention, text or model."""
