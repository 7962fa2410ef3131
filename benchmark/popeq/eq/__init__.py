"""Equaliser curves as filters: second-order sections, and the five bands that make a setting."""
