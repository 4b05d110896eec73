"""Documents that write themselves from a run's record: forms as data, values from records, nothing invented."""
