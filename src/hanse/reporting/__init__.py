"""What people read of a run: charts, the run report, and the one stylesheet that the portal serves too. Pure."""
