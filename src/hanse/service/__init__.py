"""The service: a Django shell around the contracts that stores, permits and shows."""
