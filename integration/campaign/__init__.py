"""The campaign: everything that can go wrong, done to real services and programs, and every task accounted for."""
