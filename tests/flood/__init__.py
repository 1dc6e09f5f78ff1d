"""The proof by flood: ten times what the system can deliver, for as long as asked, and every item accounted for."""
