"""The pages of the service: plain HTML first, with htmx replacing fragments that have their own address.

`views` look up and permit, `standing` says what the state is and what comes next, `blocks` draw tables and figures.
"""
