"""Colour, blur and eyes of a face's pixels."""
