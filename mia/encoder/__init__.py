"""Encoders: windows of bars and of the order book to a few numbers. Learned with torch, run without it.

task/ fits one per snapshot (`training.fit`), desk/ advances it row by row (`encoder.Encoder.advance`).
"""
