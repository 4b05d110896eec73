"""One seam over every scheduler: submit, observe many, cancel. Job scripts are rendered here and nowhere else."""
