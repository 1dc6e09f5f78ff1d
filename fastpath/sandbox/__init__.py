"""Jinja2 as templates may use it. Templates come from people, and none of them may reach Python or stop a process.

limits.py    what one rendering may do: a purse of work that loops, calls, filters and operators spend from before they run
guards.py    the filters and tests, each spending before it works
environment.py  the environment: allow-listed methods, strict about missing variables
syntax.py    what of Jinja2's language is allowed, and where loops and macros spend
"""
