"""The typed client of the service's API: contracts in, contracts out, errors of the one tree."""
