"""The dispatcher: decides what each notification becomes, and never sends."""
