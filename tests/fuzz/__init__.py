"""Damaged files and senseless command lines: each is read or refused in one line, and nothing else happens.

`make fuzz` tries for as long as one likes, from seeds of its own; the tests try a few seeds that are always the same.
"""
