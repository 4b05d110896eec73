"""Applications as they are written: drafts on the server, their pages, and how a call looks to an applicant."""
