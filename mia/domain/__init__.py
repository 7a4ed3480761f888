"""The words of the house: plain types every room above speaks. Imports nothing of the project."""
