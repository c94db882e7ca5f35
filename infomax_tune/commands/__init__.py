"""The commands, a file for each stage of a study: they parse, call and print.

Torch and Ray take seconds to import, so only the commands that need them do.
"""
