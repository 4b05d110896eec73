"""The command line: one thin module per verb, imported when its verb is used. Only this room prints."""
