"""The kinds of places where artifact bytes may live, one file each; base.py says what all of them promise."""
